"""``loopline runs``, ``show``, ``explain`` and ``features``: read runs and features, change nothing."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from loopline.components.contract import usecase
from loopline.local.records import DECISION, StepRecord
from loopline.local.run_store import find_run
from loopline.local.run_store import list_runs as read_runs
from loopline.local.workspace import Workspace
from loopline.report.tables import steps_table


def list_runs(console: Console) -> None:
    """Print a line for each run."""
    runs = read_runs(Workspace.find().runs)
    table = Table("run", "use case", "state", "steps", "cached", "time", box=None, header_style="bold")
    for run in runs:
        finished = sum(step.state in {"succeeded", "cached"} for step in run.steps)
        count = f"{finished}/{len(run.steps)}"
        table.add_row(run.id, run.usecase, run.state, count, str(run.cached), f"{run.seconds:.1f} s")
    console.print(table if runs else "no runs yet; `loopline loop` makes some")


def show_run(identity: str, console: Console) -> None:
    """Print a run: parameters, steps, what they decided and why, their outputs, where its logs are.

    Raises:
        LooplineError: there is no such run.
    """
    workspace = Workspace.find()
    run = find_run(workspace.runs, identity)
    console.print(f"[bold]{run.id}[/] {run.state}, {run.seconds:.1f} s, started {run.started}", highlight=False)
    for name, value in {"usecase": run.usecase, **run.parameters}.items():
        console.print(f"  {name} = {escape(str(value))}", highlight=False, soft_wrap=True)
    console.print(steps_table([run]))
    for step in run.steps:
        for line in _outputs(step):
            console.print(line, highlight=False, soft_wrap=True)
    for step in run.steps:
        if step.refused:
            console.print(f"[yellow]refused[/] by {_decision(step)}", highlight=False, soft_wrap=True)
    if run.error:
        console.print(f"[red]{escape(run.error)}[/]", highlight=False)
    console.print(f"logs: {workspace.runs / run.id / 'logs'}", highlight=False, soft_wrap=True)


def explain_step(identity: str, name: str, console: Console) -> None:
    """Print why a step ran or was reused, and every part of its key.

    Raises:
        LooplineError: no such run or step.
    """
    step = find_run(Workspace.find().runs, identity).step(name)
    console.print(f"[bold]{step.name}[/] {step.state}: {escape(step.why) or 'not reached'}", highlight=False)
    if step.parts is not None:
        console.print(_key_table(step))


def list_features(package: str, console: Console) -> None:
    """Print the feature views of a use case's store.

    Raises:
        LooplineError: nothing was materialised yet.
    """
    from loopline.components.features.catalogue import views

    spec = usecase.load(package).spec
    table = Table("view", "entities", "features", "ttl", "owner", "materialised to", "description", header_style="bold")
    for view in views(spec.name, Workspace.find().features(spec.name)):
        table.add_row(
            *(
                _cell(view[key])
                for key in ("name", "entities", "features", "ttl", "owner", "materialised", "description")
            )
        )
    console.print(table)


def _outputs(step: StepRecord) -> Iterator[str]:
    """What a step decided, its other values, and its artifacts with digest and URI; nothing for one without outputs."""
    if not (step.values or step.outputs):
        return
    yield _decision(step) if DECISION in step.values else f"[bold]{escape(step.name)}[/]"
    for name, value in step.values.items():
        if name != DECISION:
            yield f"  {name} = {escape(str(value))}"
    for name, output in step.outputs.items():
        yield f"  {name} {output.digest} {escape(output.uri)}"


def _decision(step: StepRecord) -> str:
    reason = f": {escape(step.reason)}" if step.reason else ""
    return f"[bold]{escape(step.name)}[/]: {escape(str(step.values[DECISION]))}{reason}"


def _key_table(step: StepRecord) -> Table:
    table = Table("depends on", "name", "value", box=None, header_style="bold")
    parts = step.parts
    assert parts is not None  # noqa: S101 - asked by the caller
    table.add_row("lock", "constraints.txt", parts.lock)
    table.add_row("interface", "component.py", parts.interface)
    if parts.environment:
        table.add_row("environment", "container", parts.environment)
    if parts.source:
        table.add_row("source", "source.py", parts.source)
    for kind in ("parameters", "inputs", "locations", "code"):
        for name, value in getattr(parts, kind).items():
            table.add_row(kind.removesuffix("s"), name, escape(str(value)))
    return table


def _cell(value: Any) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, list | tuple) else escape(str(value))
