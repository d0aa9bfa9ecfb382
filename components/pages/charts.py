"""Charts of plain numbers as SVG. Colours come from the page's style, so they follow light, dark and print."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from loopline.components.pages import formatting
from loopline.components.pages.axes import HEIGHT, WIDTH, Axes, Scale
from loopline.components.pages.svg import element, picture


def histogram(counts: Mapping[str, Sequence[float]], edges: Sequence[float], x_name: str, y_name: str) -> Markup:
    """Histograms over the same bins, drawn over each other.

    Args:
        counts: by the name of what was counted, the height of each bin.
        edges: of the bins, one more than there are bins.
        x_name: what was counted.
        y_name: what a height is.
    """
    top = max((height for heights in counts.values() for height in heights), default=0) or 1.0
    axes = Axes.over((edges[0], 0.0), (edges[-1], 1.05 * top))
    shapes = []
    for colour, (name, heights) in enumerate(counts.items()):
        outline = [(edges[0], 0.0)]
        for left, right, height in zip(edges, edges[1:], heights, strict=False):
            outline += [(left, height), (right, height)]
        outline.append((edges[-1], 0.0))
        shapes.append(axes.line(outline, f"area s{colour}", name))
    label = f"Histogram of {x_name}: {', '.join(counts)}"
    zero = [axes.line([(0, 0), (0, 1.05 * top)], "reference")] if edges[0] < 0 < edges[-1] else []
    return picture(WIDTH, HEIGHT, label, axes.frame(x_name, y_name), *shapes, *zero, class_="plot")


def dots(values: Sequence[tuple[int, float]], low: float, high: float, reference: float | None) -> Markup:
    """Values as dots on one line, each (colour, value), with a tick at the reference; for a cell of a table."""
    width, height = 112, 16
    x = Scale(low, high, 6, width - 6)
    marks = [element("line", x1=6, x2=width - 6, y1=8, y2=8, class_="grid")]
    if reference is not None:
        marks.append(element("line", x1=x(reference), x2=x(reference), y1=1, y2=15, class_="zero"))
    marks += [element("circle", cx=x(value), cy=8, r=4, class_=f"solid s{colour}") for colour, value in values]
    label = ", ".join(formatting.number(value) for _, value in values)
    return picture(width, height, label, *marks, class_="spark", fixed=True)


def bars(heights: Sequence[float], label: str, names: Sequence[str] = (), width: float = 96) -> Markup:
    """A histogram as small as a word; what is not zero shows at least a line.

    Args:
        heights: of the bars.
        label: what it shows.
        names: what hovering over each bar shows.
        width: in pixels.
    """
    height = 20
    top = max(heights, default=0) or 1
    step = width / max(len(heights), 1)
    drawn = "".join(
        f"M{i * step:.1f},{height}v{-max(h / top * height, 1):.1f}h{step - 1:.1f}V{height}z"
        for i, h in enumerate(heights)
        if h
    )
    hints = [
        element("rect", element("title", name), x=i * step, y=0, width=step, height=height, class_="hint")
        for i, name in enumerate(names)
    ]
    return picture(width, height, label, element("path", d=drawn), *hints, class_="spark bars", fixed=True)
