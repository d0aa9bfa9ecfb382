from graphlib import TopologicalSorter
from itertools import combinations, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from loopline.local.records import RunRecord, StepRecord
from loopline.report.dag import draw
from loopline.report.dag_layout import Block, arrange, reduced


def step(name: str, *needs: str) -> StepRecord:
    return StepRecord(name=name, task=name, stage="data", needs=list(needs))


def overlap(one: Block, other: Block) -> bool:
    across = one.x < other.x + other.width and other.x < one.x + one.width
    return across and one.y < other.y + other.height and other.y < one.y + one.height


@st.composite
def graphs(draw_: st.DrawFn) -> list[StepRecord]:
    """Steps in a random order that each need some of those before, some of them in nested pipelines."""
    steps: list[StepRecord] = []
    for index in range(draw_(st.integers(1, 12))):
        group = draw_(st.sampled_from(["", "", "a/", "b/"]))
        needs = draw_(st.sets(st.sampled_from([s.name for s in steps]))) if steps else set()
        steps.append(step(f"{group}s{index}", *sorted(needs)))
    return draw_(st.permutations(steps))


@settings(max_examples=40, deadline=None)
@given(graphs())
def test_boxes_do_not_overlap_and_arrows_go_right(steps: list[StepRecord]) -> None:
    layout = arrange(steps)
    assert sorted(s.name for block in layout.blocks for s in block.steps) == sorted(s.name for s in steps)
    for one, other in combinations(layout.blocks, 2):
        assert not overlap(one, other)
    for way in layout.arrows:
        for before, after in pairwise(way):
            assert before.x + before.width < after.x
    for block in layout.blocks:
        assert block.x + block.width <= layout.width
        assert block.y + block.height <= layout.height


@settings(max_examples=40, deadline=None)
@given(graphs())
def test_lanes_cross_no_box(steps: list[StepRecord]) -> None:
    layout = arrange(steps)
    for way in layout.arrows:
        for lane in way[1:-1]:
            begin, width = lane.column
            for block in layout.blocks:
                in_column = begin <= block.x < begin + width
                assert not (in_column and block.y <= lane.middle <= block.y + block.height)


@settings(max_examples=40, deadline=None)
@given(graphs())
def test_a_reduced_graph_reaches_the_same(steps: list[StepRecord]) -> None:
    needs = {s.name: set(s.needs) for s in steps}
    order = list(TopologicalSorter(needs).static_order())

    def reach(graph: dict[str, set[str]]) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for name in order:
            found[name] = set().union(*({source} | found[source] for source in graph[name]))
        return found

    less = dict(reduced(needs, order))
    assert reach(less) == reach(needs)
    for name, sources in less.items():
        for source in sources:
            assert reach({**less, name: sources - {source}}) != reach(needs)


def test_steps_of_a_nested_pipeline_are_one_block() -> None:
    layout = arrange([step("x/a"), step("x/b", "x/a"), step("c", "x/b")])
    assert [(block.name, len(block.steps)) for block in layout.blocks] == [("x", 2), ("c", 1)]
    assert [[block.name for block in way] for way in layout.arrows] == [["x", "c"]]


def test_a_group_around_another_step_is_taken_apart() -> None:
    layout = arrange([step("x/a"), step("c", "x/a"), step("x/b", "c")])
    assert [block.name for block in layout.blocks] == ["x/a", "c", "x/b"]


def test_a_run_without_steps_is_drawn_empty() -> None:
    run = RunRecord(id="r", pipeline="training", usecase="u", parameters={})
    assert draw(run).startswith("<svg")
