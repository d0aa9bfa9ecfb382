"""``loopline loop``: the replay and its report."""

import time

from rich.console import Console

from loopline.cli.watch import ConsoleWatcher
from loopline.components.contract import usecase
from loopline.components.errors import LooplineError
from loopline.local.engine import Engine
from loopline.local.workspace import Workspace
from loopline.loop import Loop
from loopline.report import write_report
from loopline.report.tables import models_table, steps_table


def replay(package: str, console: Console, *, reuse: bool, release: bool) -> None:
    """Replay a use case, print the tables, write the report.

    Raises:
        LooplineError: it failed; the report shows how far it got.
    """
    begun = time.monotonic()
    case = usecase.load(package)
    workspace = Workspace.find()
    loop = Loop(
        Engine(workspace, ConsoleWatcher(console), reuse=reuse),
        case,
        lambda sentence: console.print(f"[bold]{sentence}[/]", highlight=False),
        release,
    )
    problem: LooplineError | None = None
    try:
        loop.replay()
    except LooplineError as error:
        problem = error
    models = loop.models()
    page = write_report(workspace.report, loop.runs, models, case.spec, time.monotonic() - begun, loop.demo_steps)
    console.print(steps_table(loop.runs))
    console.print(models_table(models, case.spec))
    console.print(f"{time.monotonic() - begun:.0f} s; open {page}", highlight=False)
    if problem:
        raise problem
