"""Metrics as functions of row weights, for the bootstrap, which takes them hundreds of times over the same scores.

In numpy, not scikit-learn: the scores need sorting only once, and importing scikit-learn costs a step three seconds.
The tests compare every metric with scikit-learn's.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from loopline.components.errors import LooplineError

Floats = npt.NDArray[np.float64]
# The metric of some rows under given weights, float64 [rows]; NaN where it is not defined.
WeightedMetric = Callable[[Floats], float]

# Scores are float32: a probability cannot come closer to 0 or 1 than this.
CLOSEST = float(np.finfo(np.float32).eps)


class Counts(NamedTuple):
    """Weight of the positive and of the negative rows at or above each threshold, both float64 [thresholds]."""

    positive: Floats
    negative: Floats


class Ranking:
    """Rows sorted by falling score once, so that the counts above every threshold are two cumulative sums.

    Args:
        label: 0 or 1, float64 [rows].
        score: float64 [rows]; rows with equal scores share one threshold.
    """

    def __init__(self, label: Floats, score: Floats) -> None:
        self._order = np.argsort(-score, kind="stable")
        ranked = score[self._order]
        self._last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
        self._positive = label[self._order]
        self.thresholds: Floats = ranked[self._last]

    def counts(self, weight: Floats) -> Counts:
        """Counts at each threshold, the highest first, for row weights float64 [rows]."""
        ranked = weight[self._order]
        positive = np.cumsum(ranked * self._positive)[self._last]
        return Counts(positive, np.cumsum(ranked)[self._last] - positive)


def weighted_metric(metric: str, label: Floats, score: Floats) -> WeightedMetric:
    """A metric of some rows, prepared so that it can be taken under many row weights.

    Args:
        metric: one of `WEIGHTED_METRICS`.
        label: float64 [rows]; 0 or 1 for a classification metric.
        score: probability or prediction, float64 [rows].

    Raises:
        LooplineError: there is no such metric.
    """
    if metric not in WEIGHTED_METRICS:
        raise LooplineError(f"models cannot be compared by '{metric}'; known metrics are {', '.join(WEIGHTED_METRICS)}")
    return WEIGHTED_METRICS[metric](label, score)


def _auc(label: Floats, score: Floats) -> WeightedMetric:
    ranking = Ranking(label, score)

    def value(weight: Floats) -> float:
        positive, negative = ranking.counts(weight)
        if not positive[-1] or not negative[-1]:
            return np.nan
        # Trapezoids under the ROC curve: a tie between classes counts one half.
        area = np.sum(np.diff(negative, prepend=0.0) * (positive - np.diff(positive, prepend=0.0) / 2))
        return float(area / (positive[-1] * negative[-1]))

    return value


def _average_precision(label: Floats, score: Floats) -> WeightedMetric:
    ranking = Ranking(label, score)

    def value(weight: Floats) -> float:
        positive, negative = ranking.counts(weight)
        if not positive[-1] or not negative[-1]:
            return np.nan
        called = positive + negative
        precision = np.divide(positive, called, out=np.zeros_like(called), where=called > 0)
        return float(np.sum(np.diff(positive, prepend=0.0) * precision) / positive[-1])

    return value


def _mean_of(loss: Callable[[Floats, Floats], Floats]) -> Callable[[Floats, Floats], WeightedMetric]:
    def prepare(label: Floats, score: Floats) -> WeightedMetric:
        losses = loss(label, score)
        return lambda weight: _mean(losses, weight)

    return prepare


def _mean(values: Floats, weight: Floats) -> float:
    # Not through BLAS: its sums depend on how many threads it takes, and its threads are slow on a busy machine.
    return float(np.sum(values * weight) / np.sum(weight))


def _log_losses(label: Floats, score: Floats) -> Floats:
    certain = np.clip(score, CLOSEST, 1 - CLOSEST)
    return np.asarray(-np.log(np.where(label == 1, certain, 1 - certain)))


def _squares(label: Floats, score: Floats) -> Floats:
    return np.square(label - score)


def _rmse(label: Floats, score: Floats) -> WeightedMetric:
    mean_square = _mean_of(_squares)(label, score)
    return lambda weight: float(np.sqrt(mean_square(weight)))


def _r2(label: Floats, score: Floats) -> WeightedMetric:
    mean_square = _mean_of(_squares)(label, score)
    constant = label.min() == label.max()

    def value(weight: Floats) -> float:
        spread = _mean(np.square(label - _mean(label, weight)), weight)
        return np.nan if constant or not spread else float(1 - mean_square(weight) / spread)

    return value


# What models can be compared by: metrics that the bootstrap can take under weights.
WEIGHTED_METRICS: Mapping[str, Callable[[Floats, Floats], WeightedMetric]] = {
    "auc": _auc,
    "average_precision": _average_precision,
    "log_loss": _mean_of(_log_losses),
    "brier": _mean_of(_squares),
    "rmse": _rmse,
    "mae": _mean_of(lambda label, score: np.abs(label - score)),
    "r2": _r2,
}
