"""SVG elements as safe markup: names, attributes and text in, escaped; and the scale from values to pixels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape


def element(tag: str, *children: str, **attributes: str | float) -> Markup:
    """One element. ``class_`` becomes class, ``font_size`` font-size; numbers are rounded to a tenth of a pixel."""
    rendered = Markup("").join(
        Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), _value(value))
        for name, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(tag), rendered, Markup("").join(escape(c) for c in children))  # noqa: S704 - tags are ours


def picture(width: float, height: float, label: str, *children: str, class_: str = "") -> Markup:
    """An SVG that says what it shows to those who cannot see it, and shrinks with the page."""
    return element(
        "svg",
        *children,
        class_=class_,
        role="img",
        aria_label=label,
        viewBox=f"0 0 {_value(width)} {_value(height)}",
        width=width,
        height=height,
    )


def path(points: Sequence[tuple[float, float]], **attributes: str | float) -> Markup:
    """A line through points in pixels."""
    if not points:
        return Markup("")
    return element("path", d="M" + "L".join(f"{_value(x)},{_value(y)}" for x, y in points), **attributes)


@dataclass(frozen=True)
class Scale:
    """Maps values ``[low, high]`` to pixels ``[start, end]``, straight; a domain of no width maps to the middle."""

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


def _value(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
