"""Plots of evaluations as SVG text, to stand inside an HTML page. Equal evaluations give equal text.

Functions that take ``evaluations`` draw one line per label, in order, so one model alone or several against each other.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from io import StringIO
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from components.contract.evaluation import Comparison, Evaluation, Slice
from components.validation.metrics import Floats
from components.validation.wording import name, number

# Okabe and Ito's palette, told apart by colour-blind people; dashes tell the lines apart in print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)))
INK, MUTED, GRID = "#1f2933", "#616e7c", "#e4e7eb"
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "loopline",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#9aa5b1",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.major.pad": 6,
    "ytick.major.pad": 6,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


class Plot:
    """A plot in the making: its axes, and its SVG text once the block is left."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes
        self.svg = ""


@contextmanager
def plot(description: str, width: float = 4.6, height: float = 3.6, left: float = 0.72) -> Iterator[Plot]:
    """Axes to draw on, in the style of every plot of Loopline.

    Args:
        description: what is to be seen, for people who hear the page.
        width: of the whole, in inches of 72 points; the page may scale it.
        height: of the whole, likewise.
        left: room for the labels of the vertical axis, likewise.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        # Set by hand: matplotlib's own layouts draw everything twice.
        figure.subplots_adjust(left / width, 0.52 / height, 1 - 0.12 / width, 1 - 0.12 / height)
        made = Plot(figure.add_subplot())
        yield made
        text = StringIO()
        no_date = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(text, format="svg", metadata=no_date)
    made.svg = _inline(text.getvalue(), description)


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


def scores(task: str, label: Floats, score: Floats) -> str:
    """How the scores are spread: by class for a classification, as errors for a regression."""
    with plot("Histogram of the scores" if task == "binary_classification" else "Histogram of the errors") as made:
        if task == "binary_classification":
            edges = np.linspace(0, 1, 41).tolist()
            for value, colour, hatch in ((0, COLOURS[0], ""), (1, COLOURS[1], "////")):
                some = score[label == value]
                weights = np.full(len(some), 1 / max(len(some), 1))
                text = f"label {value} ({len(some):,} rows)"
                made.axes.hist(
                    some,
                    edges,
                    weights=weights,
                    alpha=0.45,
                    color=colour,
                    hatch=hatch,
                    edgecolor="white",
                    linewidth=0,
                    label=text,
                )
            made.axes.set(xlabel="Predicted probability", ylabel="Share of the class", xlim=(0, 1))
            made.axes.legend(loc="upper right")
        else:
            errors = score - label
            low, high = np.quantile(errors, [0.005, 0.995])
            edges = np.linspace(low, max(high, low + 1e-6), 41).tolist()
            made.axes.hist(errors, edges, color=COLOURS[0], alpha=0.6)
            made.axes.axvline(0, color=MUTED, linewidth=1, linestyle=":")
            made.axes.set(xlabel="Predicted minus seen (middle 99 %)", ylabel="Rows")
    return made.svg


def months(evaluations: Mapping[str, Evaluation], metric: str) -> str:
    """A metric by month of the event."""
    with plot(f"{name(metric)} by month", width=9.4, height=2.6) as made:
        every = sorted({month for evaluation in evaluations.values() for month in evaluation.months})
        for style, (label, evaluation) in zip(_styles(), evaluations.items(), strict=False):
            values = [evaluation.months.get(month, {}).get(metric, np.nan) for month in every]
            made.axes.plot(range(len(every)), values, marker="o", label=label, **style)
        made.axes.set(ylabel=name(metric), xlim=(-0.5, len(every) - 0.5))
        made.axes.set_xticks(range(len(every)), every)
        if len(evaluations) > 1:
            made.axes.legend(loc="best")
    return made.svg


def slices(column: str, parts: Sequence[Slice], metric: str, overall: float) -> str:
    """A metric by value of a column, beside the metric overall; a hollow dot has too few rows to be judged."""
    shown = [part for part in parts if metric in part.metrics]
    labels = [f"{part.value}  ({part.rows:,})" for part in shown]
    left = 0.2 + 0.075 * max(map(len, labels), default=0)
    with plot(f"{name(metric)} by {column}", height=0.8 + 0.2 * len(shown), left=left) as made:
        made.axes.axvline(overall, color=MUTED, linewidth=1, linestyle=":")
        made.axes.locator_params(axis="x", nbins=5)
        for row, part in enumerate(shown):
            face = COLOURS[0] if part.judged else "white"
            made.axes.scatter(part.metrics[metric], row, s=34, color=COLOURS[0], facecolor=face, linewidths=1.2)
        made.axes.set_yticks(range(len(shown)), labels)
        made.axes.set(xlabel=name(metric), ylim=(len(shown) - 0.4, -0.6))
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
            xlabel=f"Gain in {name(comparison.metric)} (right of the dotted line: better)", ylim=(-0.6, 1), yticks=[]
        )
        made.axes.spines["left"].set_visible(False)
        made.axes.margins(x=0.25)
    return made.svg


def _styles() -> Iterator[dict[str, Any]]:
    for colour, dash in zip(COLOURS, DASHES, strict=True):
        yield {"color": colour, "linestyle": dash}


def _with_metric(label: str, evaluation: Evaluation, metric: str) -> str:
    known = metric in evaluation.metrics
    return (
        f"{label}: {name(metric)} {number(evaluation.metrics[metric])}"
        if known
        else f"{label}: {name(metric)} undefined"
    )


def _classifies(evaluations: Mapping[str, Evaluation]) -> bool:
    return any(evaluation.task == "binary_classification" for evaluation in evaluations.values())


def _inline(svg: str, description: str) -> str:
    """An SVG file as an element of a page: no prologue, no fixed size, no ids but those that are referred to."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    used = set(re.findall(r"#([\w.-]+)", svg))
    svg = re.sub(r' id="([\w.-]+)"', lambda match: match[0] if match[1] in used else "", svg)
    opening, rest = svg.split(">", 1)
    opening = re.sub(r' (width|height)="[^"]*"', "", opening)
    return f'{opening} role="img" aria-label="{escape(description)}">{rest}'
