"""Prints the progress of a run: a line for each finished step, and the status of the running one."""

from rich.console import Console
from rich.markup import escape

from loopline.components.contract.release import DECISION_PREFIX
from loopline.local.records import RunRecord, StepRecord

# A step begins a line with this to show it while it runs; other lines go to its log only.
PROGRESS = "progress: "
_SIGNS = {"succeeded": "[green]✓[/]", "cached": "[cyan]=[/]", "failed": "[red]✗[/]"}


class ConsoleWatcher:
    """Prints progress to a terminal, or plainly to a pipe."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("")

    def started(self, run: RunRecord, step: StepRecord) -> None:
        """A step began."""
        self._status.update(f"{run.pipeline} [bold]{escape(step.name)}[/]")
        self._status.start()

    def progressed(self, run: RunRecord, step: StepRecord, line: str) -> None:
        """A step printed a line."""
        if line.startswith(DECISION_PREFIX):
            self._console.print(line.removeprefix(DECISION_PREFIX), markup=False, highlight=False, soft_wrap=True)
        if line.startswith(PROGRESS):
            message = escape(line.removeprefix(PROGRESS))
            self._status.update(f"{run.pipeline} [bold]{escape(step.name)}[/] {message}")

    def finished(self, run: RunRecord, step: StepRecord) -> None:  # noqa: ARG002 - part of the Watcher protocol
        """A step ended."""
        self._status.stop()
        time = "cached" if step.state == "cached" else f"{step.seconds:.1f} s"
        self._console.print(f"  {_SIGNS[step.state]} {escape(step.name):<40} {time:>8}", highlight=False)
        if step.state == "failed":
            self._console.print(f"    [red]{escape(step.why)}[/]", highlight=False)
