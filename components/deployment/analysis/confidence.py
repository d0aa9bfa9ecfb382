"""A confidence sequence for the difference of two means: an interval that is valid at all sample sizes at once.

For each version there is evidence against every value that its mean may have: a non-negative martingale that starts at
one if the value is the true mean, so by Ville's inequality it ever reaches 1/alpha with probability at most alpha. For
a difference d, the evidence of both versions is multiplied, and minimised over all pairs of means that are d apart (the
nuisance parameter). The differences whose evidence stays below 1/alpha form a confidence sequence: it contains the true
difference at all times with probability 1 - alpha, so one may analyse after every request and stop at any time.

- Shares: the likelihood ratio of a Beta mixture against a share (Robbins, "Statistical methods related to the law of
  the iterated logarithm", 1970; as a uniform boundary in Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform,
  nonparametric, nonasymptotic confidence sequences", Annals of Statistics 2021). Taking the least over a null
  hypothesis is universal inference (Wasserman, Ramdas and Balakrishnan, PNAS 2020).
- Means of values in [0, 1]: the empirical Bernstein process of Howard et al. 2021, theorem 4, mixed over its tuning
  parameter, so that it adapts to the variance.

Requests are assumed to be assigned to the versions independently, as a router does that draws for each request, and a
version's mean to be constant within a step; a trend that affects both versions alike cancels out.

Both depend only on sums, so the order of the requests does not matter. Betting confidence sequences (Waudby-Smith and
Ramdas, JRSS B 2023) are slightly tighter for means but need every row in order; the asymptotic ones of A/B testing
(Johari et al., Operations Research 2022) are wrong for few and rare errors; group-sequential tests need the number of
analyses in advance, which depends on the traffic.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Bisections for an end of the interval, which is rounded outwards by at most 6e-5, and for the nuisance mean, around
# which the evidence is flat.
OUTER, INNER = 14, 12
EDGE = 1e-12
_log_gamma = np.frompyfunc(math.lgamma, 1, 1)
# Tuning parameters of the empirical Bernstein process; each suits one ratio of difference to variance.
_TILTS = np.geomspace(0.01, 0.9, 10)
_SIGNED_TILTS = np.concatenate([_TILTS, -_TILTS])
_PRICES = np.tile(-np.log1p(-_TILTS) - _TILTS, 2)


class Sample(Protocol):
    """One version's data on a mean in [0, 1]; the arrays may hold several comparisons at once."""

    @property
    def mean(self) -> Floats:
        """The sample mean; one half without data."""

    def evidence(self, mean: Floats) -> Floats:
        """Logarithm of the evidence against a mean; convex in it."""

    def slope(self, mean: Floats) -> Floats:
        """Derivative of the evidence by the mean."""


@dataclass(frozen=True)
class Shares:
    """A share of requests: hits and totals, float64 arrays of one shape.

    The guess of the share must not depend on the data. It counts as ``weight`` requests in half of the prior: a good
    guess makes the interval tighter, a wrong one costs little, and the interval is valid with either.
    """

    hits: Floats
    total: Floats
    guess: Floats
    weight: float

    @cached_property
    def mean(self) -> Floats:
        """The sample mean; one half without data."""
        return _ratio(self.hits, self.total)

    def evidence(self, mean: Floats) -> Floats:
        """Log likelihood ratio of a mixture of two Beta priors, around the guess and Jeffreys', to one share."""
        mean = np.minimum(np.maximum(mean, EDGE), 1 - EDGE)  # a fifth of the time of np.clip
        return np.asarray(self._mixture - self.hits * np.log(mean) - self._misses * np.log1p(-mean))

    def slope(self, mean: Floats) -> Floats:
        """Derivative of the evidence by the share."""
        mean = np.minimum(np.maximum(mean, EDGE), 1 - EDGE)  # a fifth of the time of np.clip
        return np.asarray(self._misses / (1 - mean) - self.hits / mean)

    @cached_property
    def _misses(self) -> Floats:
        return np.asarray(self.total - self.hits)

    @cached_property
    def _mixture(self) -> Floats:
        """Logarithm of the likelihood under the equal mixture of both priors."""
        guessed = self._under(0.5 + self.weight * self.guess, 0.5 + self.weight * (1 - self.guess))
        return np.asarray(np.logaddexp(guessed, self._under(0.5, 0.5)) - math.log(2))

    def _under(self, yes: Floats | float, no: Floats | float) -> Floats:
        return np.asarray(_log_beta(self.hits + yes, self._misses + no) - _log_beta(yes, no))


@dataclass(frozen=True)
class Means:
    """A mean of values in [0, 1]: their number, their sum, and the sum of their squared distances from a guess.

    The guess in [0, 1] must not depend on the data; the nearer it is to the mean, the tighter the interval.
    """

    total: Floats
    summed: Floats
    spread: Floats

    @cached_property
    def mean(self) -> Floats:
        """The sample mean; one half without data."""
        return _ratio(self.summed, self.total)

    def evidence(self, mean: Floats) -> Floats:
        """Logarithm of the mixture of exponential processes in both directions."""
        exponents, most = self._exponents(mean)
        return np.asarray(most[..., 0] + np.log(np.exp(exponents - most).mean(axis=-1)))

    def slope(self, mean: Floats) -> Floats:
        """Derivative of the evidence by the mean."""
        exponents, most = self._exponents(mean)
        weights = np.exp(exponents - most)
        return np.asarray(-self.total * (weights * _SIGNED_TILTS).sum(axis=-1) / weights.sum(axis=-1))

    def _exponents(self, mean: Floats) -> tuple[Floats, Floats]:
        """The exponent for each tuning parameter, along a last axis, and the greatest."""
        excess = np.asarray(self.summed - self.total * mean)
        exponents = excess[..., None] * _SIGNED_TILTS - self._costs
        return exponents, exponents.max(axis=-1, keepdims=True)

    @cached_property
    def _costs(self) -> Floats:
        return np.multiply.outer(self.spread, _PRICES)


def difference(canary: Sample, stable: Sample, alpha: Floats | float) -> tuple[Floats, Floats]:
    """Ends of the confidence interval of the canary's mean minus the stable's, float64, rounded outwards.

    Args:
        canary: data of the canary.
        stable: data of the stable version over the same period.
        alpha: probability that the interval misses the true difference at any time.
    """
    estimate = canary.mean - stable.mean
    # Both ends at once: the first row of each array converges to the low end, the second to the high end.
    inside = np.stack([estimate, estimate])
    outside = np.stack([np.full_like(estimate, -1.0), np.full_like(estimate, 1.0)])
    for _ in range(OUTER):
        middle = (inside + outside) / 2
        possible = _least_evidence(canary, stable, middle) < -np.log(alpha)
        inside, outside = np.where(possible, middle, inside), np.where(possible, outside, middle)
    return outside[0], outside[1]


def _least_evidence(canary: Sample, stable: Sample, difference: Floats) -> Floats:
    """The minimum of the joint evidence over all pairs of means with this difference, rounded down."""

    def evidence(mean: Floats) -> Floats:
        return canary.evidence(mean + difference) + stable.evidence(mean)

    def slope(mean: Floats) -> Floats:
        return canary.slope(mean + difference) + stable.slope(mean)

    # Each version's evidence has its minimum at its own mean, so the minimum of the sum is between the two.
    allowed = np.maximum(0, -difference), np.minimum(1, 1 - difference)
    one, other = np.clip(canary.mean - difference, *allowed), np.clip(stable.mean, *allowed)
    low, high = np.minimum(one, other), np.maximum(one, other)
    for _ in range(INNER):
        middle = (low + high) / 2
        rising = slope(middle) > 0
        low, high = np.where(rising, low, middle), np.where(rising, middle, high)
    # A convex function is above its tangents.
    left = evidence(low) + np.minimum(slope(low), 0) * (high - low)
    right = evidence(high) - np.maximum(slope(high), 0) * (high - low)
    return np.asarray(np.maximum(left, right))


def _ratio(part: Floats, total: Floats) -> Floats:
    return np.asarray(np.where(total > 0, part / np.maximum(total, 1), 0.5))


def _log_beta(first: Floats | float, second: Floats | float) -> Floats:
    return np.asarray(_log_gamma(first) + _log_gamma(second) - _log_gamma(first + second), dtype=np.float64)
