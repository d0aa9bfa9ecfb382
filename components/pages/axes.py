"""The axes of a chart: scales from values to pixels, round ticks, and the frame around the plot area."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from loopline.components.pages.svg import Points, element, path, tooltip

# In pixels.
WIDTH, HEIGHT = 344, 286
LEFT, RIGHT, TOP, BOTTOM = 56, 10, 8, 38

Ticks = Sequence[tuple[float, str]]


@dataclass(frozen=True)
class Scale:
    """Maps values ``[low, high]`` to pixels ``[start, end]``, linear; a domain of no width maps to the middle."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value; one outside the domain is put on its edge."""
        if self.high == self.low:
            return (self.start + self.end) / 2
        clipped = min(max(value, self.low), self.high)
        return self.start + (clipped - self.low) / (self.high - self.low) * (self.end - self.start)


@dataclass(frozen=True)
class Axes:
    """The scales of one chart, whose size in pixels they imply."""

    x: Scale
    y: Scale

    @classmethod
    def over(
        cls,
        low: tuple[float, float],
        high: tuple[float, float],
        size: tuple[float, float] = (WIDTH, HEIGHT),
        left: float = LEFT,
    ) -> "Axes":
        """Axes from the lower left values to the upper right ones.

        Args:
            low: least x and y.
            high: greatest x and y.
            size: width and height of the chart.
            left: room for the labels of the vertical axis.
        """
        width, height = size
        return cls(Scale(low[0], high[0], left, width - RIGHT), Scale(low[1], high[1], height - BOTTOM, TOP))

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the chart."""
        return self.x.end + RIGHT, self.y.start + BOTTOM

    def line(self, points: Points, class_: str, title: str = "") -> Markup:
        """A line through values."""
        hint = [tooltip(title)] if title else []
        return path([(self.x(x), self.y(y)) for x, y in points], *hint, class_=class_)

    def dot(self, point: tuple[float, float], radius: float, class_: str, title: str) -> Markup:
        """A dot at a value."""
        return element("circle", tooltip(title), cx=self.x(point[0]), cy=self.y(point[1]), r=radius, class_=class_)

    def frame(self, x_name: str, y_name: str, x_ticks: Ticks | None = None, y_ticks: Ticks | None = None) -> Markup:
        """Grid, tick labels and axis names.

        Args:
            x_name: name of the horizontal axis.
            y_name: name of the vertical axis.
            x_ticks: values and their labels, where they are not round numbers.
            y_ticks: likewise.
        """
        _, height = self.size
        parts = []
        for value, label in x_ticks if x_ticks is not None else round_ticks(self.x.low, self.x.high):
            at = self.x(value)
            parts += [
                element("line", x1=at, x2=at, y1=self.y.end, y2=self.y.start, class_="grid"),
                element("text", label, x=at, y=self.y.start + 14, text_anchor="middle", class_="tick"),
            ]
        for value, label in y_ticks if y_ticks is not None else round_ticks(self.y.low, self.y.high):
            at = self.y(value)
            parts += [
                element("line", x1=self.x.start, x2=self.x.end, y1=at, y2=at, class_="grid"),
                element("text", label, x=self.x.start - 6, y=at + 3.5, text_anchor="end", class_="tick"),
            ]
        center, middle = (self.x.start + self.x.end) / 2, (self.y.start + self.y.end) / 2
        turned = f"translate(11 {middle:.0f}) rotate(-90)"
        parts += [
            element("text", x_name, x=center, y=height - 5, text_anchor="middle", class_="axis"),
            element("text", y_name, x=0, y=0, transform=turned, text_anchor="middle", class_="axis"),
        ]
        return Markup("").join(parts)


def round_ticks(low: float, high: float) -> Ticks:
    """Round numbers within ``[low, high]`` with their labels."""
    return [(value, tick_label(value)) for value in ticks(low, high)]


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers within ``[low, high]``, about as many as wanted."""
    if not high > low:
        return [low]
    rough = (high - low) / max(wanted - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999), 10 * power)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def tick_label(value: float) -> str:
    """A tick's number without needless zeros."""
    return f"{value:,.10g}".replace("-", "−") if abs(value) >= 1e-9 else "0"


def padded(values: Sequence[float]) -> tuple[float, float]:
    """Least and greatest value with some room on both sides."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = 0.08 * (high - low) or 0.5
    return low - margin, high + margin
