"""Tables for the terminal: the steps of runs, the metrics of models, and their promotions."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from loopline.components.contract.metrics import HEADLINE_METRICS
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.pages import formatting
from loopline.components.pages.metric_names import metric_value, short_metric_name
from loopline.components.registry.promotion_log import Entry
from loopline.local.records import RunRecord, StepRecord
from loopline.report.model_names import latest_metrics, main_alias
from loopline.report.states import SYMBOLS

# Right of each cell; the box adds a blank of its own between columns.
_PADDING = (0, 1, 0, 0)
_COLOURS = {
    "succeeded": "green",
    "cached": "cyan",
    "running": "yellow",
    "failed": "bold red",
    "killed": "bold red",
    "skipped": "dim",
    "waiting": "dim",
}
_ACCEPTED = {"promotion": "promoted", "rollback": "rolled back"}


def steps_table(runs: Sequence[RunRecord]) -> Table:
    """Each run with its steps below it: state, time, and why a step was cached, or was not."""
    table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False, show_edge=False, padding=_PADDING)
    table.add_column("run and step", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("time", no_wrap=True, justify="right")
    table.add_column("cached, or why not", no_wrap=True, overflow="ellipsis", ratio=1)
    for run in runs:
        why = run.error or f"{formatting.counted(len(run.steps), 'step')}, {run.cached} cached"
        table.add_row(Text(run.pipeline, "bold"), _state(run.state), formatting.duration(run.seconds), Text(why))
        for cells in _step_rows(run.steps):
            table.add_row(*cells)
        table.add_section()
    return table


def models_table(models: Sequence[Mapping[str, Any]], spec: UseCaseSpec) -> Table:
    """Each model version with its metrics on the latest month on which it was evaluated."""
    metrics = [*HEADLINE_METRICS[spec.task], "mean_predicted", "mean_seen"]
    label = spec.label.column if spec.task == "binary_classification" else None
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=_PADDING)
    table.add_column("model", justify="right")
    table.add_column("alias", no_wrap=True)
    table.add_column("month", no_wrap=True)
    for name in metrics:
        table.add_column(short_metric_name(name, label), justify="right")
    for model in sorted(models, key=lambda model: model["version"]):
        month, values = latest_metrics(model["metrics"])
        alias = main_alias(model["aliases"])
        numbers = (metric_value(name, values.get(name)) for name in metrics)
        table.add_row(f"v{model['version']}", alias, month, *numbers, style="bold" if alias == "champion" else "")
    return table


def history_table(entries: Sequence[Entry]) -> Table:
    """Each promotion and rollback, oldest first: when, from and to which version, why, and by which run or person."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=_PADDING)
    table.add_column("time", no_wrap=True)
    table.add_column("champion", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column("why", overflow="fold")
    table.add_column("by", overflow="fold")
    for entry in entries:
        before, version = entry.before.champion, entry.change.version
        outcome = Text(_ACCEPTED[entry.change.kind], "green") if entry.accepted else Text("refused", "bold red")
        why = entry.change.reason if entry.accepted else entry.effect
        table.add_row(
            formatting.moment(entry.time.isoformat()),
            f"v{before} → v{version}" if before else f"v{version}",
            outcome,
            Text(why or entry.effect),
            Text(entry.change.by),
        )
    return table


def _step_rows(steps: Sequence[StepRecord]) -> Iterator[tuple[Text | str, ...]]:
    """A row for each step, those of a nested pipeline together under its name."""
    groups: dict[str, list[StepRecord]] = {}
    for step in steps:
        group = step.name.rpartition("/")[0]
        groups.setdefault(group or step.name, []).append(step)
    for group, members in groups.items():
        nested = "/" in members[0].name
        if nested:
            yield (Text(f"  {group}", "dim"),)
        for step in members:
            name = step.name.rpartition("/")[2]
            took = formatting.duration(step.seconds) if step.seconds else ""
            yield Text(f"{'    ' if nested else '  '}{name}"), _state(step.state), took, Text(step.why, "dim")


def _state(state: str) -> Text:
    return Text(f"{SYMBOLS[state]} {state}", _COLOURS[state])
