"""Small plots as SVG whose colours come from the page's style, so that they follow light, dark and print."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from loopline.components.contract.evaluation import CalibrationBin, Comparison
from loopline.report import words
from loopline.report.svg import Scale, element, path, picture, tick_label, ticks

WIDTH, HEIGHT = 344, 286
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 8, 38


@dataclass(frozen=True)
class Series:
    """One line of a plot; ``colour`` picks one of the page's series colours, starting at 0."""

    name: str
    colour: int
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axes:
    """The scales of one plot."""

    x: Scale
    y: Scale

    @classmethod
    def over(cls, low: tuple[float, float], high: tuple[float, float]) -> "Axes":
        """Axes from the lower left values to the upper right ones."""
        return cls(
            Scale(low[0], high[0], LEFT, WIDTH - RIGHT),
            Scale(low[1], high[1], HEIGHT - BOTTOM, TOP),
        )

    def line(self, points: Sequence[tuple[float, float]], class_: str) -> Markup:
        """A line through values."""
        return path([(self.x(x), self.y(y)) for x, y in points], class_=class_)

    def frame(self, x_name: str, y_name: str) -> Markup:
        """Grid, tick labels and axis names."""
        parts = []
        for value in ticks(self.x.low, self.x.high):
            at = self.x(value)
            parts += [
                element("line", x1=at, x2=at, y1=TOP, y2=self.y.start, class_="grid"),
                element("text", tick_label(value), x=at, y=self.y.start + 14, text_anchor="middle", class_="tick"),
            ]
        for value in ticks(self.y.low, self.y.high):
            at = self.y(value)
            parts += [
                element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=at, y2=at, class_="grid"),
                element("text", tick_label(value), x=LEFT - 6, y=at + 3.5, text_anchor="end", class_="tick"),
            ]
        middle = (self.y.start + self.y.end) / 2
        return Markup("").join(
            [
                *parts,
                element(
                    "text", x_name, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 5, text_anchor="middle", class_="axis"
                ),
                element(
                    "text",
                    y_name,
                    x=0,
                    y=0,
                    transform=f"translate(11 {middle:.0f}) rotate(-90)",
                    text_anchor="middle",
                    class_="axis",
                ),
            ]
        )


def roc(series: Sequence[Series]) -> Markup:
    """True against false positive rate; the diagonal is chance."""
    axes = Axes.over((0, 0), (1, 1))
    lines = [axes.line(s.points, f"line s{s.colour}") for s in series]
    label = "ROC curve of " + _names(series)
    return picture(
        WIDTH,
        HEIGHT,
        label,
        axes.frame("false positive rate", "true positive rate"),
        axes.line([(0, 0), (1, 1)], "reference"),
        *lines,
        class_="plot",
    )


def precision_recall(series: Sequence[Series], base_rate: float | None) -> Markup:
    """Precision against recall; the dashed line is the share of positives, which chance would reach."""
    axes = Axes.over((0, 0), (1, 1))
    lines = [axes.line(s.points, f"line s{s.colour}") for s in series]
    chance = [] if base_rate is None else [axes.line([(0, base_rate), (1, base_rate)], "reference")]
    label = "Precision-recall curve of " + _names(series)
    return picture(WIDTH, HEIGHT, label, axes.frame("recall", "precision"), *chance, *lines, class_="plot")


def traffic(points: Sequence[tuple[float, float]]) -> Markup:
    """Per cent of the traffic against seconds."""
    axes = Axes.over((0, 0), (max(points[-1][0], 1), 100))
    frame = axes.frame("seconds since the release began", "% of the traffic")
    return picture(WIDTH, HEIGHT, "Traffic of the canary over time", frame, axes.line(points, "line s0"), class_="plot")


def calibration(bins: Sequence[tuple[Series, Sequence[CalibrationBin]]], bounded: bool) -> Markup:
    """What was seen against what was predicted, a dot per bin, larger with more rows; the diagonal is perfect.

    Args:
        bins: each series (its own points are not used) with its bins.
        bounded: whether values are shares, so that the axes begin at 0 and end at the largest value or 1.
    """
    values = [value for _, some in bins for b in some if b.rows for value in (b.predicted, b.seen)]
    low, high = _domain(values, bounded)
    axes = Axes.over((low, low), (high, high))
    marks = []
    for series, some in bins:
        total = sum(b.rows for b in some) or 1
        points = [(b.predicted, b.seen) for b in some if b.rows]
        marks.append(axes.line(points, f"line thin s{series.colour}"))
        marks += [
            element(
                "circle",
                element("title", f"{series.name}: predicted {words.number(b.predicted)}, seen {words.number(b.seen)}, "
                                 f"{words.counted(b.rows, 'row')}"),
                cx=axes.x(b.predicted),
                cy=axes.y(b.seen),
                r=2 + 6 * (b.rows / total) ** 0.5,
                class_=f"dot s{series.colour}",
            )
            for b in some
            if b.rows
        ]  # fmt: skip
    return picture(
        WIDTH,
        HEIGHT,
        "Calibration of " + _names([series for series, _ in bins]),
        axes.frame("predicted", "seen"),
        axes.line([(low, low), (high, high)], "reference"),
        *marks,
        class_="plot",
    )


def interval(comparison: Comparison) -> Markup:
    """The challenger's gain with its interval, against none and against the least gain that is asked for."""
    width, height, y = 560, 86, 34
    low, high = padded([comparison.low, comparison.high, comparison.gain, 0.0, comparison.min_gain])
    x = Scale(low, high, 16, width - 16)
    marks = [
        element("line", x1=x.start, x2=x.end, y1=height - 30, y2=height - 30, class_="grid"),
        *(
            element("text", tick_label(v), x=x(v), y=height - 14, text_anchor="middle", class_="tick")
            for v in ticks(low, high, 6)
        ),
        element("line", x1=x(0), x2=x(0), y1=8, y2=height - 30, class_="zero"),
        element("line", x1=x(comparison.low), x2=x(comparison.high), y1=y, y2=y, class_="whisker s1"),
        *(
            element("line", x1=x(end), x2=x(end), y1=y - 7, y2=y + 7, class_="whisker s1")
            for end in (comparison.low, comparison.high)
        ),
        element("circle", cx=x(comparison.gain), cy=y, r=6, class_="solid s1"),
        element("text", words.gain(comparison.gain), x=x(comparison.gain), y=16, text_anchor="middle", class_="value"),
    ]
    if comparison.min_gain:
        asked = x(comparison.min_gain)
        marks.append(element("line", x1=asked, x2=asked, y1=8, y2=height - 30, class_="reference"))
    label = (
        f"Gain of the challenger in {words.metric_name(comparison.metric)}: {words.gain(comparison.gain)}, "
        f"interval {words.gain(comparison.low)} to {words.gain(comparison.high)}"
    )
    return picture(width, height, label, *marks, class_="plot")


def dots(values: Sequence[tuple[int, float]], low: float, high: float, reference: float | None) -> Markup:
    """Values as dots on one line, each (colour, value), with a tick at the reference; for a cell of a table."""
    width, height = 112, 16
    x = Scale(low, high, 6, width - 6)
    marks = [element("line", x1=6, x2=width - 6, y1=8, y2=8, class_="grid")]
    if reference is not None:
        marks.append(element("line", x1=x(reference), x2=x(reference), y1=1, y2=15, class_="zero"))
    marks += [element("circle", cx=x(value), cy=8, r=4, class_=f"solid s{colour}") for colour, value in values]
    return picture(width, height, ", ".join(words.number(value) for _, value in values), *marks, class_="spark")


def bars(heights: Sequence[float], label: str, width: float = 96, height: float = 20) -> Markup:
    """A histogram as small as a word; what is not nothing shows at least a line."""
    top = max(heights, default=0) or 1
    step = width / max(len(heights), 1)
    drawn = "".join(
        f"M{i * step:.1f},{height}v{-max(h / top * height, 1):.1f}h{step - 1:.1f}V{height}z"
        for i, h in enumerate(heights)
        if h
    )
    return picture(width, height, label, element("path", d=drawn), class_="spark bars")


def padded(values: Sequence[float]) -> tuple[float, float]:
    """Least and greatest value with some room on both sides."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = 0.08 * (high - low) or 0.5
    return low - margin, high + margin


def _domain(values: Sequence[float], bounded: bool) -> tuple[float, float]:
    if not bounded:
        return padded(values)
    greatest = max(values, default=1.0)
    return 0.0, next(bound for bound in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0, greatest) if bound >= greatest)


def _names(series: Sequence[Series]) -> str:
    return " and ".join(s.name for s in series)
