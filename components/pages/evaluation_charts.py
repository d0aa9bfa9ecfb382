"""Charts of evaluations as SVG: one line for each model, in order, so one model alone or several against each other."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from markupsafe import Markup

from loopline.components.contract.evaluation import Comparison, Evaluation, Slice
from loopline.components.pages import formatting
from loopline.components.pages.axes import HEIGHT, TOP, WIDTH, Axes, Scale, padded, round_ticks, tick_label, ticks
from loopline.components.pages.metric_names import metric_heading, metric_name, metric_value
from loopline.components.pages.svg import Points, element, picture

# Series colours of the style sheet; a fifth line takes the first colour again.
COLOURS = 4
# Below this recall a precision is that of a handful of rows, and the line would jump between 0 and 1.
LEAST_RECALL = 0.01

Drawn = TypeVar("Drawn")
# By the name of the model.
Evaluations = Mapping[str, Evaluation]


def roc(evaluations: Evaluations) -> Markup:
    """True against false positive rate; the diagonal is chance."""
    lines = {name: [(x, y) for x, y, _ in one.curves.roc] for name, one in evaluations.items()}
    chance = [(0.0, 0.0), (1.0, 1.0)]
    return _unit_square("ROC curve", "false positive rate", "true positive rate", lines, chance)


def precision_recall(evaluations: Evaluations) -> Markup:
    """Precision against recall; the dashed line is the share of positives, which chance would reach."""
    lines = {
        name: [(x, y) for x, y, _ in one.curves.precision_recall if x >= LEAST_RECALL]
        for name, one in evaluations.items()
    }
    base = next((one.metrics["mean_seen"] for one in evaluations.values() if "mean_seen" in one.metrics), None)
    chance = [] if base is None else [(0.0, base), (1.0, base)]
    return _unit_square("Precision-recall curve", "recall", "precision", lines, chance)


def calibration(evaluations: Evaluations) -> Markup:
    """What was seen against what was predicted, a dot per bin, larger with more rows; the diagonal is perfect."""
    bins = {name: [b for b in one.curves.calibration if b.rows] for name, one in evaluations.items()}
    values = [value for some in bins.values() for b in some for value in (b.predicted, b.seen)]
    shares = any(one.task == "binary_classification" for one in evaluations.values())
    low, high = _up_to_one(values) if shares else padded(values)
    axes = Axes.over((low, low), (high, high))
    marks = []
    for colour, (name, some) in _coloured(bins):
        total = sum(b.rows for b in some)
        marks.append(axes.line([(b.predicted, b.seen) for b in some], f"line thin s{colour}", name))
        marks += [
            axes.dot(
                (b.predicted, b.seen),
                2 + 6 * (b.rows / total) ** 0.5,
                f"dot s{colour}",
                f"{name}: predicted {formatting.number(b.predicted)}, seen {formatting.number(b.seen)}, "
                f"{formatting.counted(b.rows, 'row')}",
            )
            for b in some
        ]
    perfect = axes.line([(low, low), (high, high)], "reference")
    label = "Calibration of " + " and ".join(bins)
    return picture(WIDTH, HEIGHT, label, axes.frame("predicted", "seen"), perfect, *marks, class_="plot")


def months(evaluations: Evaluations, metric: str) -> Markup:
    """A metric by month of the event."""
    every = sorted({month for one in evaluations.values() for month in one.months})
    series = {
        name: [(i, one.months[m][metric]) for i, m in enumerate(every) if metric in one.months.get(m, {})]
        for name, one in evaluations.items()
    }
    low, high = padded([value for points in series.values() for _, value in points])
    axes = Axes.over((-0.5, low), (len(every) - 0.5, high), size=(560, 190))
    named = list(enumerate(every))[:: math.ceil(len(every) / 10)]
    marks = []
    for colour, (name, points) in _coloured(series):
        marks.append(axes.line(points, f"line s{colour}", name))
        marks += [
            axes.dot((i, value), 4, f"solid s{colour}", f"{name}, {every[i]}: {metric_value(metric, value)}")
            for i, value in points
        ]
    frame = axes.frame("month", metric_name(metric), x_ticks=named)
    label = f"{metric_heading(metric)} by month of " + " and ".join(evaluations)
    return picture(*axes.size, label, frame, *marks, class_="plot wide")


def slices(column: str, parts: Sequence[Slice], metric: str, overall: float) -> Markup:
    """A metric by value of a column, with a line at the metric of all rows; a hollow dot has too few rows."""
    shown = [part for part in parts if metric in part.metrics]
    names = [f"{formatting.clipped(part.value, 20)} ({part.rows:,})" for part in shown]
    values = [part.metrics[metric] for part in shown]
    low, high = padded([*values, overall])
    left = 16 + 6.2 * max(map(len, names), default=0)
    height = 50 + 17 * len(shown)
    # Rows count downwards.
    axes = Axes.over((low, 0.4 - len(shown)), (high, 0.6), size=(WIDTH, height), left=left)
    marks = [
        axes.dot(
            (value, -row),
            4.5,
            "solid s0" if part.judged else "hollow s0",
            f"{part.value}: {metric_value(metric, value)}, {formatting.counted(part.rows, 'row')}",
        )
        for row, (part, value) in enumerate(zip(shown, values, strict=True))
    ]
    y_ticks = [(-row, name) for row, name in enumerate(names)]
    frame = axes.frame(metric_name(metric), "", round_ticks(low, high), y_ticks)
    whole = axes.line([(overall, axes.y.low), (overall, axes.y.high)], "reference")
    label = f"{metric_heading(metric)} by {column}"
    return picture(WIDTH, height, label, frame, whole, *marks, class_="plot")


def interval(comparison: Comparison) -> Markup:
    """The challenger's gain with its interval, against zero and against the least gain required."""
    width, height, y = 560, 86, 34
    base = height - 30
    low, high = padded([comparison.low, comparison.high, comparison.gain, 0.0, comparison.min_gain])
    x = Scale(low, high, 16, width - 16)

    def upright(value: float, top: float, bottom: float, class_: str) -> Markup:
        return element("line", x1=x(value), x2=x(value), y1=top, y2=bottom, class_=class_)

    gained, *ends = (formatting.gain(value) for value in (comparison.gain, comparison.low, comparison.high))
    marks = [
        element("line", x1=x.start, x2=x.end, y1=base, y2=base, class_="grid"),
        *(
            element("text", tick_label(v), x=x(v), y=height - 14, text_anchor="middle", class_="tick")
            for v in ticks(low, high, 6)
        ),
        upright(0, TOP, base, "zero"),
        element("line", x1=x(comparison.low), x2=x(comparison.high), y1=y, y2=y, class_="whisker s1"),
        upright(comparison.low, y - 7, y + 7, "whisker s1"),
        upright(comparison.high, y - 7, y + 7, "whisker s1"),
        element("circle", cx=x(comparison.gain), cy=y, r=6, class_="solid s1"),
        element("text", gained, x=x(comparison.gain), y=16, text_anchor="middle", class_="value"),
    ]
    if comparison.min_gain:
        marks.append(upright(comparison.min_gain, TOP, base, "reference"))
    label = f"Gain of the challenger in {metric_name(comparison.metric)}: {gained}, interval {' to '.join(ends)}"
    return picture(width, height, label, *marks, class_="plot wide")


def _unit_square(kind: str, x_name: str, y_name: str, lines: Mapping[str, Points], chance: Points) -> Markup:
    axes = Axes.over((0, 0), (1, 1))
    drawn = [axes.line(points, f"line s{colour}", name) for colour, (name, points) in _coloured(lines)]
    label = f"{kind} of " + " and ".join(lines)
    reference = axes.line(chance, "reference")
    return picture(WIDTH, HEIGHT, label, axes.frame(x_name, y_name), reference, *drawn, class_="plot")


def _coloured(series: Mapping[str, Drawn]) -> Iterable[tuple[int, tuple[str, Drawn]]]:
    return ((index % COLOURS, item) for index, item in enumerate(series.items()))


def _up_to_one(values: Sequence[float]) -> tuple[float, float]:
    """From zero to a round share that all values stay below."""
    greatest = max(values, default=1.0)
    return 0.0, next(bound for bound in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0, greatest) if bound >= greatest)
