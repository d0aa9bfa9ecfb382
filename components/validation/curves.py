"""The points of an evaluation's curves, few enough for a page or a KFP artifact."""

import numpy as np
import numpy.typing as npt

from loopline.components.contract.evaluation import Curves
from loopline.components.validation.metrics import calibration
from loopline.components.validation.weighted_metrics import Counts, Floats, Ranking

POINTS = 200


def curves(task: str, label: Floats, score: Floats) -> Curves:
    """ROC, precision-recall, calibration bins and confusion of some rows.

    A row is predicted positive if its score is at or above a threshold. The confusion is taken at the threshold that
    maximises F1 on these rows (the highest such): 0.5 says little if positives are rare. Where the labels are all of
    one class there is no ROC, and the confusion is taken at 0.5.

    Args:
        task: ``binary_classification`` or ``regression``, which has calibration bins only.
        label: float64 [rows].
        score: float64 [rows].
    """
    bins = calibration(task, label, score)
    if task == "regression":
        return Curves(calibration=bins)
    ranking = Ranking(label, score)
    counts = ranking.counts(np.ones(len(label)))
    positives, negatives = counts.positive[-1], counts.negative[-1]
    if not positives or not negatives:
        return Curves(calibration=bins, confusion=_confusion(label, score, 0.5))
    f1 = 2 * counts.positive / (counts.positive + counts.negative + positives)
    threshold = float(ranking.thresholds[np.argmax(f1)])
    return Curves(
        roc=_roc(counts, ranking.thresholds),
        precision_recall=_precision_recall(counts, ranking.thresholds),
        calibration=bins,
        confusion=_confusion(label, score, threshold),
        threshold=threshold,
    )


def _roc(counts: Counts, thresholds: Floats) -> list[tuple[float, float, float]]:
    """From (0, 0), at a threshold just above the highest score, to (1, 1)."""
    false_positive = np.append(0.0, counts.negative / counts.negative[-1])
    true_positive = np.append(0.0, counts.positive / counts.positive[-1])
    thresholds = np.append(np.nextafter(thresholds[0], np.inf), thresholds)
    kept = _spread(false_positive + true_positive)
    return _points(false_positive[kept], true_positive[kept], thresholds[kept])


def _precision_recall(counts: Counts, thresholds: Floats) -> list[tuple[float, float, float]]:
    recall = counts.positive / counts.positive[-1]
    precision = counts.positive / (counts.positive + counts.negative)
    kept = _spread(recall)
    return _points(recall[kept], precision[kept], thresholds[kept])


def _spread(travelled: Floats) -> npt.NDArray[np.int64]:
    """Indices of at most `POINTS` points evenly spread over a rising distance, both ends among them."""
    stops = np.linspace(travelled[0], travelled[-1], POINTS)
    return np.unique(np.minimum(np.searchsorted(travelled, stops), len(travelled) - 1))


def _points(x: Floats, y: Floats, threshold: Floats) -> list[tuple[float, float, float]]:
    return list(zip(x.tolist(), y.tolist(), threshold.tolist(), strict=True))


def _confusion(label: Floats, score: Floats, threshold: float) -> list[list[int]]:
    seen, called = label == 1, score >= threshold
    return [
        [int(np.sum(~seen & ~called)), int(np.sum(~seen & called))],
        [int(np.sum(seen & ~called)), int(np.sum(seen & called))],
    ]
