"""The metrics of an evaluation: each over plain rows, and the bins behind the calibration error."""

import numpy as np

from loopline.components.contract.evaluation import CalibrationBin, Metrics
from loopline.components.contract.metrics import EVALUATION_METRICS
from loopline.components.validation.weighted_metrics import WEIGHTED_METRICS, Floats, weighted_metric

CALIBRATION_BINS = 15
DECILES = 10


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
    known = EVALUATION_METRICS[task]
    values = {name: weighted_metric(name, label, score)(once) for name in known if name in WEIGHTED_METRICS}
    values["calibration_error"] = calibration_error(calibration(task, label, score))
    values["mean_predicted"] = float(score.mean())
    values["mean_seen"] = float(label.mean())
    return {name: float(values[name]) for name in known if np.isfinite(values[name])}


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
