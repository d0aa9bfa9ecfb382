from collections.abc import Callable

import pytest
from fabricated_loop import FabricatedLoop
from rich.console import Console, RenderableType
from rich.text import Text

from loopline.report.tables import models_table, steps_table

MakeLoop = Callable[..., FabricatedLoop]
WIDTHS = pytest.mark.parametrize("width", [80, 100, 140])


def printed(renderable: RenderableType, width: int) -> list[str]:
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(renderable)
    lines = [line.rstrip() for line in capture.get().splitlines()]
    assert all(Text(line).cell_len <= width for line in lines)
    return lines


@WIDTHS
def test_each_step_has_one_line_with_its_state_whole(make_loop: MakeLoop, width: int) -> None:
    runs = make_loop().runs
    lines = printed(steps_table(runs), width)
    for run in runs:
        assert sum(line.startswith(f"{run.pipeline} ") for line in lines) == 1
        for step in run.steps:
            name = step.name.rpartition("/")[2]
            assert any(f" {name} " in line and step.state in line for line in lines)
    groups = sum(line.strip() == "training-examples" for line in lines)
    assert groups == 2
    # Two lines of heading; between two runs one empty line.
    nested = sum(len({s.name.rpartition("/")[0] for s in run.steps} - {""}) for run in runs)
    assert len(lines) == 2 + sum(1 + len(run.steps) for run in runs) + nested + len(runs) - 1


@WIDTHS
def test_reasons_are_cut_and_not_wrapped(make_loop: MakeLoop, width: int) -> None:
    lines = printed(steps_table(make_loop().runs[1:2]), width)
    reasons = [line for line in lines if "same code" in line]
    assert len(reasons) == 4
    assert all(line.endswith(("…", "010100")) for line in reasons)
    assert all(line.endswith("010100") for line in reasons) == (width == 140)


@WIDTHS
@pytest.mark.parametrize("task", ["binary_classification", "regression"])
def test_models_show_their_numbers_of_the_latest_month(make_loop: MakeLoop, width: int, task: str) -> None:
    loop = make_loop(task)
    loop.models[0]["metrics"]["2013-04"] = {"auc": 0.111, "rmse": 111.0}
    lines = printed(models_table(list(reversed(loop.models)), loop.spec), width)
    first, second = lines[-2:]
    assert first.split()[:3] == ["v1", "candidate", "2013-05"]
    numbers = ["0.766", "0.526", "0.012"] if task == "binary_classification" else ["29.20", "21.30", "0.200", "0.012"]
    assert first.split()[3:] == [*numbers, "0.221", "0.228"]
    assert second.split()[:3] == ["v2", "champion", "2013-07"]
    heading = " ".join(lines[:-3])
    for name in ["AUC", "AP"] if task == "binary_classification" else ["RMSE", "MAE", "R²"]:
        assert name in heading


def test_text_is_no_markup(make_loop: MakeLoop) -> None:
    runs = make_loop().runs[:1]
    runs[0].error = runs[0].steps[0].why = "[red]x[/] [/nothing]"
    assert sum("[red]x[/] [/nothing]" in line for line in printed(steps_table(runs), 100)) == 2


def test_there_may_be_nothing() -> None:
    assert len(printed(steps_table([]), 80)) == 2
