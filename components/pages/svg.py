"""SVG elements as safe markup: names, attributes and text go in, escaped."""

from collections.abc import Sequence

from markupsafe import Markup, escape

Points = Sequence[tuple[float, float]]


def element(tag: str, *children: str, **attributes: str | float) -> Markup:
    """One element. ``class_`` becomes class, ``font_size`` font-size; numbers are rounded to a tenth of a pixel."""
    rendered = Markup("").join(
        Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), _value(value))
        for name, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(tag), rendered, Markup("").join(escape(c) for c in children))  # noqa: S704 - tags are ours


def picture(width: float, height: float, label: str, *children: str, class_: str = "", fixed: bool = False) -> Markup:
    """An SVG with a label for screen readers.

    Args:
        width: of its coordinates, in pixels.
        height: of its coordinates, in pixels.
        label: what it shows.
        children: its elements.
        class_: its class in the style sheet.
        fixed: drawn at exactly this size; otherwise it is as wide as its place in the page.
    """
    size: dict[str, str | float] = {"width": width, "height": height} if fixed else {}
    box = f"0 0 {_value(width)} {_value(height)}"
    return element("svg", *children, class_=class_, role="img", aria_label=label, viewBox=box, **size)


def path(points: Points, *children: str, **attributes: str | float) -> Markup:
    """A line through points in pixels."""
    if not points:
        return Markup("")
    return element("path", *children, d="M" + "L".join(f"{_value(x)},{_value(y)}" for x, y in points), **attributes)


def tooltip(text: str) -> Markup:
    """What hovering over the element around it shows."""
    return element("title", text)


def _value(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
