"""Hold a canary against its bounds, on what both sides showed over the same period."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from loopline.components.contract.release import Bound, ReleasePolicy
from loopline.components.deployment.analysis.baseline import Baseline
from loopline.components.deployment.analysis.confidence import Floats, Means, Shares, difference
from loopline.components.deployment.analysis.evidence import Evidence, Tally
from loopline.components.io.strict import Strict

Name = Literal["errors", "latency", "scores", "quality"]
# worse: shown to be worse than its bound. fine: shown not to be worse than bound and margin. open: neither yet.
# unjudged: one of the sides has nothing to show, such as labels.
Verdict = Literal["worse", "fine", "open", "unjudged"]
CHECKS: tuple[Name, ...] = ("errors", "latency", "scores", "quality")
# Requests that the baseline's guess of a share is worth; more would cost where the guess is off. The canary is
# another model, so the guess is worth less for it.
_STABLE_WEIGHT, _CANARY_WEIGHT = 200.0, 20.0


class Check(Strict):
    """One property of the canary, held against its bound.

    Attributes:
        canary: value of the canary; none where it has nothing to show. ``stable``: likewise. errors: share of failed
            requests; latency: share of slow ones; scores: share above the cut at which the two differ most; quality:
            mean loss.
        estimate: by how much the canary is worse; for scores, the largest difference between the shares above a cut.
        low: lower end of the interval that holds at all looks at once. ``high``: upper end.
        bound: how much worse it may be. ``passes_below``: bound and margin.
        canary_requests: requests that it is judged on. ``stable_requests``: likewise.
    """

    name: Name
    verdict: Verdict
    canary: float | None = None
    stable: float | None = None
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    bound: float
    passes_below: float
    canary_requests: int
    stable_requests: int


class _Compared(NamedTuple):
    """Values of both sides, the interval of their difference, and the requests that they are from."""

    canary: float
    stable: float
    low: float
    high: float
    canary_requests: float
    stable_requests: float

    @property
    def estimate(self) -> float:
        """By how much the canary's value is the greater."""
        return self.canary - self.stable


_NOTHING = _Compared(0, 0, -1, 1, 0, 0)


def run_checks(policy: ReleasePolicy, baseline: Baseline, evidence: Evidence) -> tuple[Check, ...]:
    """Hold every check.

    The probability of a false rollback is shared out evenly over steps and checks, and that of the scores over their
    cuts: a check that is never judged, for want of labels, leaves its part unused.

    Args:
        policy: the bounds.
        baseline: what the evidence was counted against.
        evidence: counts of both sides in this step.
    """
    alpha = policy.false_rollback / (len(policy.steps) * len(CHECKS))
    return (*_shares(policy, baseline, evidence, alpha), _quality(policy, baseline, evidence, alpha))


def _shares(policy: ReleasePolicy, baseline: Baseline, evidence: Evidence, alpha: float) -> tuple[Check, Check, Check]:
    """What compares shares of requests, in one computation: errors, slow requests, scores above each cut."""
    above = baseline.scores.above if baseline.scores else ()
    slow = baseline.latency.slow if baseline.latency else 0.0
    guess = np.array([baseline.errors, slow, *above])
    canary = Shares(*_counts(evidence.canary, len(above)), guess, _CANARY_WEIGHT)
    stable = Shares(*_counts(evidence.stable, len(above)), guess, _STABLE_WEIGHT)
    low, high = difference(canary, stable, alpha / np.array([1, 1, *[len(above)] * len(above)]))
    lanes = [
        _Compared(*numbers)
        for numbers in zip(canary.mean, stable.mean, low, high, canary.total, stable.total, strict=True)
    ]
    scores = _apart(lanes[2:]) if above else _NOTHING
    return (
        _check("errors", lanes[0], policy.errors),
        _check("latency", lanes[1] if baseline.latency else _NOTHING, policy.latency),
        _check("scores", scores, policy.scores),
    )


def _counts(tally: Tally, cuts: int) -> tuple[Floats, Floats]:
    """Requests that count, and all, for errors, slow requests and each cut."""
    above = tally.above or (0,) * cuts
    hits = np.array([tally.errors, tally.slow, *above], dtype=np.float64)
    return hits, np.array([tally.requests, tally.timed, *[tally.scored] * cuts], dtype=np.float64)


def _apart(cuts: Sequence[_Compared]) -> _Compared:
    """The largest difference over the cuts in either direction, within the interval of that largest one."""
    farthest = max(cuts, key=lambda cut: abs(cut.estimate))
    return farthest._replace(
        low=max(0.0, *(max(cut.low, -cut.high) for cut in cuts)), high=max(max(-cut.low, cut.high) for cut in cuts)
    )


def _quality(policy: ReleasePolicy, baseline: Baseline, evidence: Evidence, alpha: float) -> Check:
    """The mean losses, in the unit of the loss; the bound, a share of the stable's usual loss, likewise."""
    known = baseline.quality
    if known is None or not (evidence.canary.labelled and evidence.stable.labelled):
        return _check("quality", _NOTHING, policy.quality)
    canary, stable = (
        Means(*(np.asarray(number, dtype=np.float64) for number in (tally.labelled, tally.loss, tally.spread)))
        for tally in (evidence.canary, evidence.stable)
    )
    low, high = difference(canary, stable, alpha)
    in_unit = _Compared(
        canary=float(canary.mean) * known.worst,
        stable=float(stable.mean) * known.worst,
        low=float(low) * known.worst,
        high=float(high) * known.worst,
        canary_requests=evidence.canary.labelled,
        stable_requests=evidence.stable.labelled,
    )
    return _check("quality", in_unit, policy.quality, unit=known.mean * known.worst)


def _check(name: Name, seen: _Compared, bound: Bound, unit: float = 1.0) -> Check:
    worse_by, passes_below = bound.worse_by * unit, (bound.worse_by + bound.margin) * unit
    requests = {"canary_requests": int(seen.canary_requests), "stable_requests": int(seen.stable_requests)}
    if not all(requests.values()):
        return Check(name=name, verdict="unjudged", bound=worse_by, passes_below=passes_below, **requests)
    verdict: Verdict = "worse" if seen.low > worse_by else "fine" if seen.high < passes_below else "open"
    return Check(
        name=name,
        verdict=verdict,
        canary=float(seen.canary),
        stable=float(seen.stable),
        estimate=float(abs(seen.estimate) if name == "scores" else seen.estimate),
        low=float(seen.low),
        high=float(seen.high),
        bound=worse_by,
        passes_below=passes_below,
        **requests,
    )
