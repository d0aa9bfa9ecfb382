"""The canvas of every plot: palette, style, and SVG text that can stand inside an HTML page."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from io import StringIO
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
    "text.parse_math": False,  # a dollar sign in the data is a dollar sign
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
        with warnings.catch_warnings():
            # Text stays text: the reader's browser has the glyphs that matplotlib's own font lacks.
            warnings.filterwarnings("ignore", message="Glyph")
            figure.savefig(text, format="svg", metadata=no_date)
    made.svg = _inline(text.getvalue(), description)


def _inline(svg: str, description: str) -> str:
    """An SVG file as an element of a page: no prologue, no fixed size, no ids but those that are referred to."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    used = set(re.findall(r"#([\w.-]+)", svg))
    svg = re.sub(r' id="([\w.-]+)"', lambda match: match[0] if match[1] in used else "", svg)
    opening, rest = svg.split(">", 1)
    opening = re.sub(r' (width|height)="[^"]*"', "", opening)
    return f'{opening} role="img" aria-label="{escape(description)}">{rest}'
