"""Plots of evaluations as SVG text, to stand inside an HTML page. Equal evaluations give equal text.

Functions that take ``evaluations`` draw one line per label, in order, so one model alone or several against each other.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from loopline.components.contract.evaluation import Comparison, Evaluation, Slice
from loopline.components.contract.metrics import caption
from loopline.components.validation.canvas import COLOURS, DASHES, INK, MUTED, plot
from loopline.components.validation.metrics import Floats
from loopline.components.validation.wording import number


def roc(evaluations: Mapping[str, Evaluation]) -> str:
    """ROC curves, with the area under each."""
    with plot("ROC curve: true positive rate against false positive rate") as made:
        made.axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
        for style, (label, evaluation) in zip(_styles(), evaluations.items(), strict=False):
            x, y, _ = zip(*evaluation.curves.roc, strict=True) if evaluation.curves.roc else ((), (), ())
            made.axes.plot(x, y, label=_with_metric(label, evaluation, "auc"), **style)
        made.axes.set(xlabel="False positive rate", ylabel="True positive rate", xlim=(0, 1), ylim=(0, 1.01))
        made.axes.legend(loc="lower right")
    return made.svg


def precision_recall(evaluations: Mapping[str, Evaluation]) -> str:
    """Precision over recall, with the average precision of each."""
    with plot("Precision-recall curve: precision against recall") as made:
        for style, (label, evaluation) in zip(_styles(), evaluations.items(), strict=False):
            points = evaluation.curves.precision_recall
            x, y, _ = zip(*points, strict=True) if points else ((), (), ())
            made.axes.plot(x, y, label=_with_metric(label, evaluation, "average_precision"), **style)
        seen = {round(evaluation.metrics["mean_seen"], 6) for evaluation in evaluations.values()}
        for base in sorted(seen):
            made.axes.axhline(base, color=MUTED, linewidth=1, linestyle=":")
        made.axes.set(xlabel="Recall", ylabel="Precision", xlim=(0, 1), ylim=(0, 1.01))
        made.axes.legend(loc="upper right")
    return made.svg


def calibration(evaluations: Mapping[str, Evaluation]) -> str:
    """What was seen against what was predicted, bin by bin; a larger dot is a fuller bin."""
    with plot("Calibration: mean seen against mean predicted, by bin of the prediction") as made:
        values = []
        for style, (label, evaluation) in zip(_styles(), evaluations.items(), strict=False):
            bins = evaluation.curves.calibration
            x, y = [b.predicted for b in bins], [b.seen for b in bins]
            rows = np.array([b.rows for b in bins])
            made.axes.plot(x, y, label=_with_metric(label, evaluation, "calibration_error"), **style)
            made.axes.scatter(x, y, s=8 + 60 * rows / rows.max(), color=style["color"], linewidths=0)
            values += [*x, *y]
        low, high = (0.0, 1.0) if _classifies(evaluations) else (min(values), max(values))
        edge = 0.02 * (high - low) or 1.0
        made.axes.plot([low, high], [low, high], color=MUTED, linewidth=1, linestyle=":")
        made.axes.set(xlabel="Mean predicted", ylabel="Mean seen")
        made.axes.set(xlim=(low - edge, high + edge), ylim=(low - edge, high + edge))
        made.axes.legend(loc="upper left")
    return made.svg


def scores(label: Floats, score: Floats) -> str:
    """Histogram of the probabilities given to each class."""
    with plot("Histogram of the predicted probability, by class") as made:
        edges = np.linspace(0, 1, 41).tolist()
        for value, colour, hatch in ((0, COLOURS[0], ""), (1, COLOURS[1], "////")):
            some = score[label == value]
            style: dict[str, Any] = {
                "alpha": 0.45,
                "color": colour,
                "hatch": hatch,
                "edgecolor": "white",
                "linewidth": 0,
            }
            shares = np.full(len(some), 1 / max(len(some), 1))
            made.axes.hist(some, edges, weights=shares, label=f"label {value} ({len(some):,} rows)", **style)
        made.axes.set(xlabel="Predicted probability", ylabel="Share of the class", xlim=(0, 1))
        made.axes.legend(loc="upper right")
    return made.svg


def errors(label: Floats, score: Floats) -> str:
    """Histogram of predicted minus seen, without the half per cent at either end."""
    with plot("Histogram of predicted minus seen") as made:
        distance = score - label
        low, high = np.quantile(distance, [0.005, 0.995])
        made.axes.hist(distance, np.linspace(low, max(high, low + 1e-6), 41).tolist(), color=COLOURS[0], alpha=0.6)
        made.axes.axvline(0, color=MUTED, linewidth=1, linestyle=":")
        made.axes.set(xlabel="Predicted minus seen (middle 99 %)", ylabel="Rows")
    return made.svg


def months(evaluations: Mapping[str, Evaluation], metric: str) -> str:
    """A metric by month of the event."""
    with plot(f"{caption(metric)} by month", width=9.4, height=2.6) as made:
        every = sorted({month for evaluation in evaluations.values() for month in evaluation.months})
        for style, (label, evaluation) in zip(_styles(), evaluations.items(), strict=False):
            values = [evaluation.months.get(month, {}).get(metric, np.nan) for month in every]
            made.axes.plot(range(len(every)), values, marker="o", label=label, **style)
        made.axes.set(ylabel=caption(metric), xlim=(-0.5, len(every) - 0.5))
        made.axes.set_xticks(range(len(every)), every)
        if len(evaluations) > 1:
            made.axes.legend(loc="best")
    return made.svg


def slices(column: str, parts: Sequence[Slice], metric: str, overall: float) -> str:
    """A metric by value of a column, beside the metric overall; a hollow dot has too few rows to be judged."""
    shown = [part for part in parts if metric in part.metrics]
    labels = [f"{_cut(part.value)}  ({part.rows:,})" for part in shown]
    left = 0.2 + 0.075 * max(map(len, labels), default=0)
    with plot(f"{caption(metric)} by {column}", height=0.8 + 0.2 * len(shown), left=left) as made:
        made.axes.axvline(overall, color=MUTED, linewidth=1, linestyle=":")
        made.axes.locator_params(axis="x", nbins=5)
        for row, part in enumerate(shown):
            face = COLOURS[0] if part.judged else "white"
            made.axes.scatter(part.metrics[metric], row, s=34, color=COLOURS[0], facecolor=face, linewidths=1.2)
        made.axes.set_yticks(range(len(shown)), labels)
        made.axes.set(xlabel=caption(metric), ylim=(len(shown) - 0.4, -0.6))
    return made.svg


def gain(comparison: Comparison) -> str:
    """The challenger's gain with its bootstrap interval, beside the gain it needs."""
    with plot("Gain of the challenger over the champion, with its interval", width=7.2, height=1.5) as made:
        colour = COLOURS[2] if comparison.better else COLOURS[1]
        made.axes.axvline(0, color=MUTED, linewidth=1)
        made.axes.axvline(comparison.min_gain, color=INK, linewidth=1, linestyle=":")
        made.axes.plot(
            [comparison.low, comparison.high], [0, 0], color=colour, linewidth=5, solid_capstyle="butt", alpha=0.45
        )
        made.axes.scatter(comparison.gain, 0, s=60, color=colour, zorder=3)
        text = f"{comparison.gain:+.4f}  [{comparison.low:+.4f}, {comparison.high:+.4f}]"
        made.axes.annotate(
            text, (comparison.gain, 0), xytext=(0, 10), textcoords="offset points", ha="center", color=INK
        )
        made.axes.set(
            xlabel=f"Gain in {caption(comparison.metric)} (right of the dotted line: better)",
            ylim=(-0.6, 1),
            yticks=[],
        )
        made.axes.spines["left"].set_visible(False)
        made.axes.margins(x=0.25)
    return made.svg


def _styles() -> Iterator[dict[str, Any]]:
    for colour, dash in zip(COLOURS, DASHES, strict=True):
        yield {"color": colour, "linestyle": dash}


def _with_metric(label: str, evaluation: Evaluation, metric: str) -> str:
    value = number(evaluation.metrics[metric]) if metric in evaluation.metrics else "undefined"
    return f"{label}: {caption(metric)} {value}"


def _cut(text: str, most: int = 20) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _classifies(evaluations: Mapping[str, Evaluation]) -> bool:
    return any(evaluation.task == "binary_classification" for evaluation in evaluations.values())
