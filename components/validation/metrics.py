"""Metrics of a model, each defined once: over plain rows for an evaluation, over weighted rows for the bootstrap.

In numpy, not scikit-learn: the bootstrap takes a metric hundreds of times over scores that need sorting only once, and
importing scikit-learn costs a step three seconds. The tests hold every metric equal to scikit-learn's.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from loopline.components.contract.evaluation import CalibrationBin, Metrics
from loopline.components.contract.metrics import EVALUATION_METRICS
from loopline.components.errors import LooplineError

Floats = npt.NDArray[np.float64]
# A metric of some rows as a function of their weights, float64 [rows]; NaN where it is not defined.
Statistic = Callable[[Floats], float]

CALIBRATION_BINS = 15
DECILES = 10
# Scores are float32: a probability nearer to 0 or 1 than this is as near as it can say.
SURE = float(np.finfo(np.float32).eps)


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


def statistic(metric: str, label: Floats, score: Floats) -> Statistic:
    """A metric of some rows, prepared so that it can be taken under many row weights.

    Args:
        metric: one of `STATISTICS`.
        label: float64 [rows]; 0 or 1 for a classification metric.
        score: probability or prediction, float64 [rows].

    Raises:
        LooplineError: there is no such metric.
    """
    if metric not in STATISTICS:
        raise LooplineError(f"models cannot be compared by '{metric}'; known metrics are {', '.join(STATISTICS)}")
    return STATISTICS[metric](label, score)


def measure(task: str, label: Floats, score: Floats) -> Metrics:
    """All metrics of a task over some rows.

    A metric that these rows do not define (auc and average_precision where the labels are all of one class, r2 where
    they are all equal) is left out: JSON has no NaN, and a zero would be a lie.

    Args:
        task: ``binary_classification`` or ``regression``.
        label: float64 [rows], at least one.
        score: probability or prediction, float64 [rows].
    """
    once = np.ones(len(label))
    values = {name: statistic(name, label, score)(once) for name in EVALUATION_METRICS[task] if name in STATISTICS}
    values["calibration_error"] = calibration_error(calibration(task, label, score))
    values["mean_predicted"] = float(score.mean())
    values["mean_seen"] = float(label.mean())
    return {name: float(values[name]) for name in EVALUATION_METRICS[task] if np.isfinite(values[name])}


def leading(metrics: Metrics) -> str:
    """The most telling metric among those that some rows define."""
    return next(iter(metrics))


def calibration(task: str, label: Floats, score: Floats) -> list[CalibrationBin]:
    """Bins of similar score, without the empty ones: mean score, mean label and number of rows of each.

    Probabilities go into 15 bins of equal width, left edge included; predictions into tenths of equal size, equal
    predictions together.
    """
    if task == "binary_classification":
        bins = np.minimum((score * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    else:
        bins = np.searchsorted(np.quantile(score, np.arange(1, DECILES) / DECILES), score, side="left")
    rows = np.bincount(bins)
    predicted, seen = np.bincount(bins, score), np.bincount(bins, label)
    return [
        CalibrationBin(predicted=float(predicted[b] / rows[b]), seen=float(seen[b] / rows[b]), rows=int(rows[b]))
        for b in np.flatnonzero(rows)
    ]


def calibration_error(bins: list[CalibrationBin]) -> float:
    """Expected calibration error: the bins' distance between predicted and seen, weighted by their rows.

    Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015.
    """
    return sum(b.rows * abs(b.predicted - b.seen) for b in bins) / sum(b.rows for b in bins)


def _auc(label: Floats, score: Floats) -> Statistic:
    ranking = Ranking(label, score)

    def value(weight: Floats) -> float:
        positive, negative = ranking.counts(weight)
        if not positive[-1] or not negative[-1]:
            return np.nan
        # Trapezoids under the ROC curve: a tie between classes counts one half.
        area = np.sum(np.diff(negative, prepend=0.0) * (positive - np.diff(positive, prepend=0.0) / 2))
        return float(area / (positive[-1] * negative[-1]))

    return value


def _average_precision(label: Floats, score: Floats) -> Statistic:
    ranking = Ranking(label, score)

    def value(weight: Floats) -> float:
        positive, negative = ranking.counts(weight)
        if not positive[-1] or not negative[-1]:
            return np.nan
        called = positive + negative
        precision = np.divide(positive, called, out=np.zeros_like(called), where=called > 0)
        return float(np.sum(np.diff(positive, prepend=0.0) * precision) / positive[-1])

    return value


def _mean_of(loss: Callable[[Floats, Floats], Floats]) -> Callable[[Floats, Floats], Statistic]:
    def prepare(label: Floats, score: Floats) -> Statistic:
        losses = loss(label, score)
        return lambda weight: _mean(losses, weight)

    return prepare


def _mean(values: Floats, weight: Floats) -> float:
    # Not through BLAS: its sums depend on how many threads it takes, and its threads are slow on a busy machine.
    return float(np.sum(values * weight) / np.sum(weight))


def _log_losses(label: Floats, score: Floats) -> Floats:
    certain = np.clip(score, SURE, 1 - SURE)
    return np.asarray(-np.log(np.where(label == 1, certain, 1 - certain)))


def _squares(label: Floats, score: Floats) -> Floats:
    return np.square(label - score)


def _rmse(label: Floats, score: Floats) -> Statistic:
    mean_square = _mean_of(_squares)(label, score)
    return lambda weight: float(np.sqrt(mean_square(weight)))


def _r2(label: Floats, score: Floats) -> Statistic:
    mean_square = _mean_of(_squares)(label, score)
    constant = label.min() == label.max()

    def value(weight: Floats) -> float:
        spread = _mean(np.square(label - _mean(label, weight)), weight)
        return np.nan if constant or not spread else float(1 - mean_square(weight) / spread)

    return value


# What models can be compared by: metrics that the bootstrap can take under weights.
STATISTICS: Mapping[str, Callable[[Floats, Floats], Statistic]] = {
    "auc": _auc,
    "average_precision": _average_precision,
    "log_loss": _mean_of(_log_losses),
    "brier": _mean_of(_squares),
    "rmse": _rmse,
    "mae": _mean_of(lambda label, score: np.abs(label - score)),
    "r2": _r2,
}
