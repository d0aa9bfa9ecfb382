"""How often a canary within its bounds is rolled back, how soon a bad one is, and what one analysis costs.

The peer is what people do with a dashboard: a z-test for a fixed number of requests, at the same level, after every
batch. It is faster, and wrong more often than it says.
"""

import statistics
import time
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from loopline.components.contract.release import ReleasePolicy
from loopline.components.deployment.analysis.analyse import analyse
from loopline.components.deployment.analysis.baseline import Baseline
from loopline.components.deployment.analysis.confidence import Means
from tests.canary_traffic import (
    BAD,
    BEGIN,
    CANARY,
    GOOD,
    STABLE,
    Side,
    alarms,
    at_its_bounds,
    baseline_of,
    evidence_of,
    rolled_back,
    rows,
    step,
)

RELEASES, BATCH, SEED = 200, 100, 2013
LIMIT_MS = 50.0
PEER = "z-test after every batch"


def measure() -> list[dict[str, Any]]:
    """False rollbacks, requests until a bad canary is caught, milliseconds an analysis."""
    policy = ReleasePolicy()
    baseline = baseline_of(policy)
    false = [
        _false_rollbacks(name, policy, baseline, canary)
        for name, canary in (
            ("twin of the stable", Side(GOOD, baseline)),
            ("canary at all its bounds", at_its_bounds(policy, baseline)),
        )
    ]
    caught = [
        _caught(what, check, policy, baseline) for what, check in zip(BAD, ("errors", "latency", "scores"), strict=True)
    ]
    return [*false, *caught, _analysis(policy, baseline)]


def _false_rollbacks(name: str, policy: ReleasePolicy, baseline: Baseline, canary: Side) -> dict[str, Any]:
    ours, peer = (
        rolled_back(alarms(policy, baseline, canary, RELEASES, BATCH, SEED, test)) for test in (None, _peeking)
    )
    return {
        "name": f"{name}: rolled back",
        "value": ours,
        "unit": "of releases",
        "peer": f"{PEER}: {peer:.3f}; allowed {policy.false_rollback:g}",
        "ratio": ours / policy.false_rollback,
    }


def _caught(what: str, check: str, policy: ReleasePolicy, baseline: Baseline) -> dict[str, Any]:
    """Requests of the canary in the first step until 19 of 20 releases have caught it."""
    canary = Side(BAD[what], baseline)
    ours, peer = (
        np.quantile(
            alarms(policy, baseline, canary, RELEASES, BATCH, SEED, test)[check][:, 0], [0.5, 0.95], method="higher"
        )
        for test in (None, _peeking)
    )
    return {
        "name": f"{what}: caught in 19 of 20 (median {ours[0]:,.0f})",
        "value": float(ours[1]),
        "unit": "requests",
        "peer": f"{PEER}: {peer[1]:,.0f} (median {peer[0]:,.0f})",
        "ratio": float(ours[1] / peer[1]),
    }


def _peeking(canary: Any, stable: Any, worse_by: float, alpha: float) -> np.ndarray:
    """Whether a one-sided z-test for one look finds the canary's mean to be greater by more than allowed."""
    error = np.sqrt(_variance(canary) / canary.total + _variance(stable) / stable.total)
    excess = canary.mean - stable.mean - worse_by
    return np.asarray(excess > statistics.NormalDist().inv_cdf(1 - alpha) * error)


def _variance(side: Any) -> np.ndarray:
    if not isinstance(side, Means):
        return np.asarray(side.mean * (1 - side.mean))
    guess = baseline_of(ReleasePolicy()).quality
    assert guess
    return np.asarray(side.spread / side.total - np.square(side.mean - guess.mean))


def _analysis(policy: ReleasePolicy, baseline: Baseline) -> dict[str, Any]:
    """From the rows of a log to a decision, with 100,000 requests in it."""
    table = pa.concat_tables([rows(GOOD, CANARY, 5_000, 5), rows(GOOD, STABLE, 95_000, 6)]).combine_chunks()
    milliseconds = []
    for _ in range(15):
        begun = time.process_time()
        evidence = evidence_of(table, baseline)
        analyse(policy, baseline, step(1, policy), evidence, BEGIN + timedelta(hours=1))
        milliseconds.append(1_000 * (time.process_time() - begun))
    median = statistics.median(milliseconds)
    return {
        "name": "analysis of 100,000 requests, processor time",
        "value": median,
        "unit": "ms",
        "peer": f"limit {LIMIT_MS:g} ms",
        "ratio": median / LIMIT_MS,
    }
