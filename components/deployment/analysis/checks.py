"""Compare a canary with the stable version over the same period, and both with the policy's bounds."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from loopline.components.contract.release import Bound, ReleasePolicy
from loopline.components.deployment.analysis.baseline import Baseline
from loopline.components.deployment.analysis.confidence import Floats, Means, Shares, difference
from loopline.components.deployment.analysis.evidence import Evidence, Tally
from loopline.components.io.strict import Strict

Name = Literal["errors", "latency", "scores", "quality"]
# worse: shown to be worse than the bound. fine: shown not to be worse than bound plus margin. open: neither so far.
# unjudged: one of the versions has no data for it, such as labels.
Verdict = Literal["worse", "fine", "open", "unjudged"]
CHECKS: tuple[Name, ...] = ("errors", "latency", "scores", "quality")
# Weight of the baseline's share as a prior, in requests. A larger weight costs more where the baseline is off. It is
# smaller for the canary, which is another model.
_STABLE_WEIGHT, _CANARY_WEIGHT = 200.0, 20.0


class Check(Strict):
    """One property of the canary, compared with its bound.

    Attributes:
        canary: value of the canary; None without data. For errors the share of failed requests, for latency that of
            slow ones, for scores the share above the cut where the versions differ most, for quality the mean loss.
        stable: value of the stable version.
        estimate: by how much the canary is worse; for scores the largest difference between the shares above a cut.
        low: lower end of the confidence interval of that, valid at every analysis (time-uniform).
        high: upper end.
        bound: by how much the canary may be worse.
        passes_below: bound plus margin.
        canary_requests: requests of the canary that count for the check.
        stable_requests: requests of the stable version.
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
    """Values of both versions, the confidence interval of their difference, and the number of requests of each."""

    canary: float
    stable: float
    low: float
    high: float
    canary_requests: float
    stable_requests: float

    @property
    def estimate(self) -> float:
        """By how much the canary's value is larger."""
        return self.canary - self.stable


_NOTHING = _Compared(0, 0, -1, 1, 0, 0)


def run_checks(policy: ReleasePolicy, baseline: Baseline, evidence: Evidence) -> tuple[Check, ...]:
    """Run every check.

    The probability of a false rollback is divided evenly among steps and checks (a Bonferroni correction), and that of
    the scores among their cuts. A check that is never judged, for lack of labels, leaves its part unused.

    Args:
        policy: has the bounds.
        baseline: that the evidence was counted against.
        evidence: counts of both versions in this step.
    """
    alpha = policy.false_rollback / (len(policy.steps) * len(CHECKS))
    return (*_shares(policy, baseline, evidence, alpha), _quality(policy, baseline, evidence, alpha))


def _shares(policy: ReleasePolicy, baseline: Baseline, evidence: Evidence, alpha: float) -> tuple[Check, Check, Check]:
    """The checks that compare shares of requests, in one computation: errors, slow requests, scores above each cut."""
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
    """Hits and totals for errors, slow requests and each cut."""
    above = tally.above or (0,) * cuts
    hits = np.array([tally.errors, tally.slow, *above], dtype=np.float64)
    return hits, np.array([tally.requests, tally.timed, *[tally.scored] * cuts], dtype=np.float64)


def _apart(cuts: Sequence[_Compared]) -> _Compared:
    """The largest absolute difference over the cuts, with its confidence interval."""
    farthest = max(cuts, key=lambda cut: abs(cut.estimate))
    return farthest._replace(
        low=max(0.0, *(max(cut.low, -cut.high) for cut in cuts)), high=max(max(-cut.low, cut.high) for cut in cuts)
    )


def _quality(policy: ReleasePolicy, baseline: Baseline, evidence: Evidence, alpha: float) -> Check:
    """The mean losses; the bound, a share of the baseline loss, is converted to the unit of the loss."""
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
