"""``loopline doctor``: one line for each check, and what to do about what is wrong."""

import os
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from loopline.checks import Finding
from loopline.cluster import settings
from loopline.components.errors import LooplineError
from loopline.local import machine

_SIGNS = {"good": "[green]✓[/]", "wrong": "[red]✗[/]", "skipped": "[dim]-[/]"}


def examine(path: Path | None, console: Console) -> None:
    """Check this machine, and the cluster if one is named.

    Raises:
        LooplineError: something is wrong; all was looked at.
    """
    wrong = _show(machine.examine(), console) + _show(_cluster(path), console)
    if wrong:
        raise LooplineError(
            f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong; the lines with ✗ say what to do"
        )


def _cluster(path: Path | None) -> Iterable[Finding]:
    if path is None and not os.environ.get(settings.VARIABLE):
        yield Finding("cluster", "skipped", f"none is named; --cluster FILE or {settings.VARIABLE} names one")
        return
    try:
        cluster = settings.Cluster.read(path)
    except LooplineError as error:
        yield Finding("cluster", "wrong", str(error))
        return
    from loopline.cluster import doctor

    yield from doctor.examine(cluster)


def _show(findings: Iterable[Finding], console: Console) -> int:
    """Print findings as they come; return how many are wrong."""
    wrong = 0
    for finding in findings:
        wrong += finding.state == "wrong"
        console.print(
            f"{_SIGNS[finding.state]} {escape(finding.subject)}: {escape(finding.sentence)}",
            highlight=False,
            soft_wrap=True,
        )
    return wrong
