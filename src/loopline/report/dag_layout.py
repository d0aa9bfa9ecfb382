"""The layout of a run's graph: levels from left to right, and lanes for arrows that skip levels.

Steps of one nested pipeline make one block. A block's level is the longest way to it from a block that needs nothing;
an arrow that a longer way implies is left out; an arrow that skips levels gets a lane of its own in each, so that it
crosses no box (the layered drawing of Sugiyama, Tagawa and Toda, 1981, with one sweep of barycentres).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from loopline.local.records import StepRecord

# In pixels.
STEP_WIDTH, STEP_HEIGHT = 138, 42
FRAME_WIDTH, ROW_HEIGHT, ROW_GAP, TITLE = 192, 24, 8, 24
GAP_X, GAP_Y, PAD, LANE = 32, 16, 8, 2

Graph = Mapping[str, set[str]]
Point = tuple[float, float]


@dataclass
class Block:
    """A single step, the steps of one nested pipeline in order, or (without steps) the lane of an arrow.

    ``x`` and ``y`` are its upper left corner in pixels, ``column`` the left edge and width of its level.
    """

    name: str
    steps: Sequence[StepRecord] = ()
    nested: bool = False
    x: float = 0
    y: float = 0
    column: Point = (0, 0)

    @property
    def width(self) -> float:
        """In pixels."""
        if not self.steps:
            return 0
        return FRAME_WIDTH if self.nested else STEP_WIDTH

    @property
    def height(self) -> float:
        """In pixels."""
        if not self.steps:
            return LANE
        return TITLE + len(self.steps) * (ROW_HEIGHT + ROW_GAP) + PAD - ROW_GAP if self.nested else STEP_HEIGHT

    @property
    def middle(self) -> float:
        """Of its height, in pixels."""
        return self.y + self.height / 2


@dataclass(frozen=True)
class Layout:
    """Placed blocks without the lanes, the way of each arrow from block to block through its lanes, and the size."""

    blocks: Sequence[Block]
    arrows: Sequence[Sequence[Block]]
    width: float = field(default=0)
    height: float = field(default=0)


def arrange(steps: Sequence[StepRecord]) -> Layout:
    """Place the steps of a run."""
    blocks, needs = _grouped(steps)
    try:
        order = list(TopologicalSorter(needs).static_order())
    except CycleError:  # steps on both sides of one outside their group: show every step by itself
        blocks = {step.name: Block(step.name, [step]) for step in steps}
        needs = _known({step.name: step.needs for step in steps})
        order = list(TopologicalSorter(needs).static_order())
    level: dict[str, int] = {}
    for name in order:
        level[name] = 1 + max((level[source] for source in needs[name]), default=-1)
    columns: list[list[Block]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for name in order:
        columns[level[name]].append(blocks[name])
    arrows = [
        _through_lanes(blocks[source], blocks[name], columns[level[source] + 1 : level[name]])
        for name, sources in reduced(needs, order).items()
        for source in sorted(sources)
    ]
    _place(columns, arrows)
    placed = [blocks[name] for name in order]
    return Layout(
        placed,
        arrows,
        width=max((block.x + block.width for block in placed), default=0),
        height=max((block.y + block.height for block in placed), default=0),
    )


def reduced(needs: Graph, order: Iterable[str]) -> Graph:
    """The graph without the edges that a longer way implies (its transitive reduction).

    Args:
        needs: direct predecessors by name.
        order: the names in topological order.
    """
    before: dict[str, set[str]] = {}
    for name in order:
        before[name] = set().union(*({source} | before[source] for source in needs[name]))
    return {
        name: {source for source in sources if not any(source in before[other] for other in sources)}
        for name, sources in needs.items()
    }


def _grouped(steps: Sequence[StepRecord]) -> tuple[dict[str, Block], Graph]:
    """Steps of the same nested pipeline as one block, with the needs of all of them outside it."""
    block_of = {step.name: step.name.rpartition("/")[0] or step.name for step in steps}
    members: dict[str, list[StepRecord]] = {}
    needs: dict[str, list[str]] = {}
    for step in steps:
        name = block_of[step.name]
        members.setdefault(name, []).append(step)
        needs.setdefault(name, []).extend(block_of[need] for need in step.needs if block_of.get(need, name) != name)
    blocks = {name: Block(name, some, nested=some[0].name != name) for name, some in members.items()}
    return blocks, _known(needs)


def _known(needs: Mapping[str, Iterable[str]]) -> Graph:
    return {name: {source for source in sources if source in needs} for name, sources in needs.items()}


def _through_lanes(source: Block, target: Block, between: Sequence[list[Block]]) -> list[Block]:
    """The way from one block to another, with a new lane in each column between."""
    lanes = [Block(f"{source.name} to {target.name}") for _ in between]
    for column, lane in zip(between, lanes, strict=True):
        column.append(lane)
    return [source, *lanes, target]


def _place(columns: Sequence[list[Block]], arrows: Sequence[Sequence[Block]]) -> None:
    """Give each block its corner: columns side by side, in each the blocks in the order of what they come from."""
    sources: dict[int, list[Block]] = {}
    for way in arrows:
        for before, after in pairwise(way):
            sources.setdefault(id(after), []).append(before)
    tallest = max((_height(column) for column in columns), default=0)
    x = 1.0
    for column in columns:
        came_from = {id(b): [source.middle for source in sources.get(id(b), [])] for b in column}
        column.sort(key=lambda b: sum(came_from[id(b)]) / max(len(came_from[id(b)]), 1))
        width = max(block.width for block in column)
        y = 1 + (tallest - _height(column)) / 2
        for block in column:
            block.x, block.y, block.column = x, y, (x, width)
            y += block.height + GAP_Y
        x += width + GAP_X


def _height(column: Sequence[Block]) -> float:
    return sum(block.height + GAP_Y for block in column) - GAP_Y
