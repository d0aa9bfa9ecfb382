"""The graph of a run as SVG: a box for each step, a frame around each nested pipeline, arrows from left to right."""

from collections.abc import Sequence

from markupsafe import Markup

from loopline.components.pages.formatting import clipped, duration
from loopline.components.pages.svg import element, picture, tooltip
from loopline.local.records import RunRecord, StepRecord
from loopline.report.dag_layout import (
    FRAME_WIDTH,
    GAP_X,
    PAD,
    ROW_GAP,
    ROW_HEIGHT,
    STEP_HEIGHT,
    STEP_WIDTH,
    TITLE,
    Block,
    arrange,
)
from loopline.report.states import SYMBOLS


def draw(run: RunRecord) -> Markup:
    """The drawing of a run's steps with their states and durations."""
    layout = arrange(run.steps)
    states = ", ".join(f"{step.name} {step.state}" for step in run.steps)
    return picture(
        layout.width + 1,
        layout.height + 1,
        f"Steps of {run.pipeline}: {states}",
        *(_arrow(way) for way in layout.arrows),
        *(_frame(block) if block.nested else _step(block.steps[0], block.x, block.y) for block in layout.blocks),
        class_="dag",
        fixed=True,
    )


def _arrow(way: Sequence[Block]) -> Markup:
    """From the right of the first block, straight through the column of each lane, to the left of the last block."""
    source, target = way[0], way[-1]
    x, y = source.x + source.width, source.middle
    drawn = f"M{x:.1f},{y:.1f}"
    for block in way[1:]:
        begin, width = block.column
        bend = begin - GAP_X
        drawn += f"H{bend:.1f}C{bend + GAP_X / 2:.1f},{y:.1f} {bend + GAP_X / 2:.1f},{block.middle:.1f} "
        drawn += f"{begin - (block is target):.1f},{block.middle:.1f}"
        y = block.middle
        if block is not target:
            drawn += f"H{begin + width:.1f}"
    tip = target.x - 1
    head = f"M{tip - 6:.1f},{y - 3.5:.1f}L{tip:.1f},{y:.1f}L{tip - 6:.1f},{y + 3.5:.1f}"
    return element("path", d=drawn + head, class_="arrow")


def _step(step: StepRecord, x: float, y: float) -> Markup:
    """A box with the step's name over its state and duration."""
    return element(
        "g",
        _tooltip(step),
        element("rect", x=x, y=y, width=STEP_WIDTH, height=STEP_HEIGHT, rx=5),
        element("text", _label(step.name, 19), x=x + PAD, y=y + 17, class_="name"),
        element("text", f"{SYMBOLS[step.state]} {_took(step)}", x=x + PAD, y=y + 33, class_="state"),
        class_=f"step {step.state}",
    )


def _frame(block: Block) -> Markup:
    """A frame with the nested pipeline's name over a line for each of its steps."""
    rows = []
    for index, step in enumerate(block.steps):
        y = block.y + TITLE + index * (ROW_HEIGHT + ROW_GAP)
        x, width = block.x + PAD, FRAME_WIDTH - 2 * PAD
        if index and block.steps[index - 1].name in step.needs:
            rows.append(element("line", x1=x + 14, x2=x + 14, y1=y - ROW_GAP, y2=y, class_="arrow"))
        rows.append(
            element(
                "g",
                _tooltip(step),
                element("rect", x=x, y=y, width=width, height=ROW_HEIGHT, rx=5),
                element("text", SYMBOLS[step.state], x=x + 14, y=y + 16, text_anchor="middle", class_="state"),
                element("text", _label(step.name, 15), x=x + 26, y=y + 16, class_="name"),
                element("text", _took(step), x=x + width - PAD, y=y + 16, text_anchor="end", class_="state"),
                class_=f"step {step.state}",
            )
        )
    return element(
        "g",
        element("rect", x=block.x, y=block.y, width=FRAME_WIDTH, height=block.height, rx=8, class_="frame"),
        element("text", _label(block.name, 25), x=block.x + PAD, y=block.y + 16, class_="group"),
        *rows,
    )


def _tooltip(step: StepRecord) -> Markup:
    return tooltip(f"{step.name}: {step.state}" + (f" ({step.why})" if step.why else ""))


def _label(name: str, letters: int) -> str:
    """The last part of a name, cut to what its box holds; the tooltip has it whole."""
    return clipped(name.rpartition("/")[2], letters)


def _took(step: StepRecord) -> str:
    if step.state == "succeeded":
        return duration(step.seconds)
    return "not reached" if step.state == "waiting" else step.state
