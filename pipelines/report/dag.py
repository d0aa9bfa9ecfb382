"""A run's graph as a drawing: a box for each step, a frame around each nested pipeline, arrows from left to right.

Steps of one nested pipeline stand below each other in their frame. Frames and single steps are placed by level (the
longest way from a step that needs nothing), and an arrow that a longer way implies is left out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from markupsafe import Markup

from pipelines.laptop.records import Run, Step
from pipelines.report import words
from pipelines.report.svg import element, picture

STEP_WIDTH, STEP_HEIGHT = 122, 42
FRAME_WIDTH, ROW_HEIGHT, ROW_GAP, TITLE = 184, 24, 8, 24
GAP_X, GAP_Y, PAD = 26, 16, 8
SYMBOLS = {
    "succeeded": "✓",
    "cached": "↻",
    "running": "▶",
    "failed": "✕",
    "killed": "✕",
    "skipped": "–",
    "waiting": "·",
}

Graph = Mapping[str, set[str]]


@dataclass(frozen=True)
class Block:
    """A single step, or the steps of one nested pipeline in order, and where its upper left corner is in pixels."""

    name: str
    steps: Sequence[Step]
    nested: bool
    x: float = 0
    y: float = 0

    @property
    def width(self) -> float:
        """In pixels."""
        return FRAME_WIDTH if self.nested else STEP_WIDTH

    @property
    def height(self) -> float:
        """In pixels."""
        if not self.nested:
            return STEP_HEIGHT
        return TITLE + len(self.steps) * (ROW_HEIGHT + ROW_GAP) + PAD - ROW_GAP


def draw(run: Run) -> Markup:
    """The drawing of a run's steps with their states and durations."""
    blocks, needs = layout(run.steps)
    if not blocks:
        return Markup("")
    by_name = {block.name: block for block in blocks}
    arrows = [_arrow(by_name[source], by_name[name]) for name in by_name for source in sorted(needs[name])]
    states = ", ".join(f"{step.name} {step.state}" for step in run.steps)
    return picture(
        max(block.x + block.width for block in blocks) + 2,
        max(block.y + block.height for block in blocks) + 2,
        f"Steps of {run.pipeline}: {states}",
        *arrows,
        *(_frame(block) if block.nested else _step(block.steps[0], block.x, block.y) for block in blocks),
        class_="dag",
    )


def layout(steps: Sequence[Step]) -> tuple[list[Block], Graph]:
    """Blocks at their places, in topological order, and for each its direct predecessors that no longer way implies."""
    blocks, needs = _grouped(steps)
    try:
        order = list(TopologicalSorter(needs).static_order())
    except CycleError:  # steps on both sides of a step outside their group: show every step by itself
        blocks = {step.name: Block(step.name, [step], nested=False) for step in steps}
        needs = _known({step.name: step.needs for step in steps})
        order = list(TopologicalSorter(needs).static_order())
    level: dict[str, int] = {}
    for name in order:
        level[name] = 1 + max((level[source] for source in needs[name]), default=-1)
    needs = reduced(needs, order)
    return _placed([blocks[name] for name in order], level), needs


def reduced(needs: Graph, order: Iterable[str]) -> Graph:
    """The graph without the edges that a longer way implies (its transitive reduction)."""
    before: dict[str, set[str]] = {}
    for name in order:
        before[name] = set().union(*({source} | before[source] for source in needs[name]))
    return {
        name: {source for source in sources if not any(source in before[other] for other in sources)}
        for name, sources in needs.items()
    }


def _grouped(steps: Sequence[Step]) -> tuple[dict[str, Block], Graph]:
    """Steps of the same nested pipeline as one block, with the needs of all of them outside it."""
    block_of = {step.name: step.name.rpartition("/")[0] or step.name for step in steps}
    members: dict[str, list[Step]] = {}
    needs: dict[str, list[str]] = {}
    for step in steps:
        name = block_of[step.name]
        members.setdefault(name, []).append(step)
        needs.setdefault(name, []).extend(block_of[need] for need in step.needs if block_of.get(need, name) != name)
    blocks = {name: Block(name, some, nested=some[0].name != name) for name, some in members.items()}
    return blocks, _known(needs)


def _known(needs: Mapping[str, Iterable[str]]) -> Graph:
    return {name: {source for source in sources if source in needs} for name, sources in needs.items()}


def _placed(blocks: Sequence[Block], level: Mapping[str, int]) -> list[Block]:
    """A column for each level, wide enough for its widest block; within it, blocks below each other."""
    columns = [[b for b in blocks if level[b.name] == n] for n in range(max(level.values(), default=-1) + 1)]
    tallest = max((_column_height(column) for column in columns), default=0)
    placed, x = {}, 1.0
    for column in columns:
        y = 1 + (tallest - _column_height(column)) / 2
        for block in column:
            placed[block.name] = Block(block.name, block.steps, block.nested, x, y)
            y += block.height + GAP_Y
        x += max(block.width for block in column) + GAP_X
    return [placed[block.name] for block in blocks]


def _column_height(column: Sequence[Block]) -> float:
    return sum(block.height + GAP_Y for block in column) - GAP_Y


def _arrow(source: Block, target: Block) -> Markup:
    x1, y1 = source.x + source.width, source.y + source.height / 2
    x2, y2 = target.x - 1, target.y + target.height / 2
    bend = min(GAP_X, x2 - x1)
    head = f"M{x2 - 6:.1f},{y2 - 3.5:.1f}L{x2:.1f},{y2:.1f}L{x2 - 6:.1f},{y2 + 3.5:.1f}"
    curve = f"M{x1:.1f},{y1:.1f}H{x2 - bend:.1f}C{x2 - bend / 2:.1f},{y1:.1f} {x2 - bend / 2:.1f},{y2:.1f} {x2:.1f},{y2:.1f}"
    return element("path", d=curve + head, class_="arrow")


def _step(step: Step, x: float, y: float) -> Markup:
    """A box with the step's name over its state and duration."""
    return element(
        "g",
        _hint(step),
        element("rect", x=x, y=y, width=STEP_WIDTH, height=STEP_HEIGHT, rx=5),
        element("text", _verb(step), x=x + PAD, y=y + 17, class_="name"),
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
                _hint(step),
                element("rect", x=x, y=y, width=width, height=ROW_HEIGHT, rx=5),
                element("text", SYMBOLS[step.state], x=x + 14, y=y + 16, text_anchor="middle", class_="state"),
                element("text", _verb(step), x=x + 26, y=y + 16, class_="name"),
                element("text", _took(step), x=x + width - PAD, y=y + 16, text_anchor="end", class_="state"),
                class_=f"step {step.state}",
            )
        )
    return element(
        "g",
        element("rect", x=block.x, y=block.y, width=FRAME_WIDTH, height=block.height, rx=8, class_="frame"),
        element("text", block.name, x=block.x + PAD, y=block.y + 16, class_="group"),
        *rows,
    )


def _hint(step: Step) -> Markup:
    return element("title", f"{step.name}: {step.state}" + (f" ({step.why})" if step.why else ""))


def _verb(step: Step) -> str:
    return step.name.rpartition("/")[2]


def _took(step: Step) -> str:
    return words.duration(step.seconds) if step.state == "succeeded" else step.state
