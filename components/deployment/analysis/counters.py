"""Evidence from the counters and histograms of a monitoring system, in Prometheus' form, where there is no log of rows.

Latency and scores are known by the buckets only, so the baseline takes its thresholds from the buckets' bounds.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Self

from pydantic import Field, model_validator

from loopline.components.contract.release import ReleasePolicy
from loopline.components.deployment.analysis.baseline import Baseline, LatencyBaseline, ScoreBaseline, expect_enough
from loopline.components.deployment.analysis.evidence import Tally
from loopline.components.errors import LooplineError
from loopline.components.io.strict import Strict


class Histogram(Strict):
    """Observations by upper bound (``le``), cumulative; ``total`` is the bucket of +Inf."""

    bounds: tuple[float, ...] = Field(min_length=1)
    counts: tuple[int, ...]
    total: int = Field(ge=0)

    @model_validator(mode="after")
    def _cumulative(self) -> Self:
        if len(self.counts) != len(self.bounds):
            raise ValueError(f"{len(self.bounds)} bounds but {len(self.counts)} counts")
        if any(upper <= lower for lower, upper in pairwise(self.bounds)):
            raise ValueError("bounds do not ascend")
        if any(more < fewer for fewer, more in pairwise((0, *self.counts, self.total))):
            raise ValueError("counts are cumulative, and these fall")
        return self

    def above(self, bound: float) -> int:
        """Observations above one of the bounds.

        Raises:
            LooplineError: it is none of them.
        """
        if bound not in self.bounds:
            raise LooplineError(
                f"the histogram has no bucket up to {bound:g}; its buckets are not those of when "
                "the release began: stop it and begin anew"
            )
        return self.total - self.counts[self.bounds.index(bound)]


class Counters(Strict):
    """What one process, or all of one side, counted since it started."""

    requests: int = Field(default=0, ge=0)
    errors: int = Field(default=0, ge=0)
    latency: Histogram | None = None
    scores: Histogram | None = None


def increase(before: Counters, now: Counters) -> Counters:
    """What a process counted between two looks; one that was restarted in between counts from zero.

    Raises:
        LooplineError: the buckets of a histogram are not the same.
    """
    if now.requests < before.requests:
        return now
    return _combine(before, now, lambda earlier, later: max(later - earlier, 0))


def merged(parts: Iterable[Counters]) -> Counters:
    """What several processes of one side counted together.

    Raises:
        LooplineError: the buckets of a histogram are not the same.
    """
    whole = Counters()
    for part in parts:
        whole = _combine(whole, part, lambda one, other: one + other)
    return whole


def tally(counters: Counters, baseline: Baseline) -> Tally:
    """The counts of one side, of an increase over the period of the analysis; labels are known to no counter.

    Raises:
        LooplineError: the buckets are not those that the baseline was taken from.
    """
    latency = counters.latency if baseline.latency else None
    scores = counters.scores if baseline.scores else None
    return Tally(
        requests=counters.requests,
        errors=min(counters.errors, counters.requests),  # read one after the other, they may disagree by a few
        timed=latency.total if latency else 0,
        slow=latency.above(baseline.latency.limit) if latency and baseline.latency else 0,
        scored=scores.total if scores else 0,
        above=tuple(scores.above(cut) for cut in baseline.scores.cuts) if scores and baseline.scores else (),
    )


def baseline(counters: Counters, policy: ReleasePolicy, stable: str) -> Baseline:
    """Take the baseline from the stable's counters before the release.

    Args:
        counters: their increase over a stretch of time before the release.
        policy: its quantile and factor of latency.
        stable: version of the model.

    Raises:
        LooplineError: the stable had fewer than 100 requests, or its buckets end too low to tell slow requests.
    """
    expect_enough(counters.requests, stable)
    return Baseline(
        requests=counters.requests,
        errors=min(counters.errors / counters.requests, 1),
        latency=_latency(counters.latency, policy) if counters.latency and counters.latency.total else None,
        scores=_scores(counters.scores) if counters.scores and counters.scores.total else None,
    )


def _latency(seen: Histogram, policy: ReleasePolicy) -> LatencyBaseline:
    wanted = policy.latency.quantile * seen.total
    quantile = next((bound for bound, count in zip(seen.bounds, seen.counts, strict=True) if count >= wanted), None)
    limit = next((bound for bound in seen.bounds if quantile and bound >= quantile * policy.latency.factor), None)
    if limit is None:
        raise LooplineError(
            f"the latency histogram ends at {seen.bounds[-1]:g} s, below {policy.latency.factor:g} times the stable's "
            f"{policy.latency.quantile:.0%} quantile: give it higher buckets"
        )
    return LatencyBaseline(limit=limit, slow=seen.above(limit) / seen.total)


def _scores(seen: Histogram) -> ScoreBaseline:
    return ScoreBaseline(cuts=seen.bounds, above=tuple(seen.above(bound) / seen.total for bound in seen.bounds))


def _combine(one: Counters, other: Counters, how: Callable[[int, int], int]) -> Counters:
    return Counters(
        requests=how(one.requests, other.requests),
        errors=how(one.errors, other.errors),
        latency=_combine_histograms(one.latency, other.latency, how),
        scores=_combine_histograms(one.scores, other.scores, how),
    )


def _combine_histograms(
    one: Histogram | None, other: Histogram | None, how: Callable[[int, int], int]
) -> Histogram | None:
    if one is None or other is None:
        return one or other
    if one.bounds != other.bounds:
        raise LooplineError(f"histograms with buckets {one.bounds} and {other.bounds} cannot be put together")
    counts = tuple(how(*pair) for pair in zip(one.counts, other.counts, strict=True))
    return Histogram(bounds=one.bounds, counts=counts, total=how(one.total, other.total))
