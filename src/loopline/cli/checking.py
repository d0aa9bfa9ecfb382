"""``loopline doctor``: one line for each check, and what to do about what is wrong."""

import os
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from loopline.checks import CheckResult
from loopline.cluster import settings
from loopline.components.contract import usecase
from loopline.components.errors import LooplineError
from loopline.local import machine

_SIGNS = {"ok": "[green]✓[/]", "failed": "[red]✗[/]", "skipped": "[dim]-[/]"}


def run_checks(path: Path | None, package: str, console: Console) -> None:
    """Check this machine, and the cluster if one is named, for the pipelines of a use case.

    Raises:
        LooplineError: a check failed; all were made.
    """
    failed = _show(machine.run_checks(), console) + _show(_cluster(path, package), console)
    if failed:
        raise LooplineError(f"{failed} {'check' if failed == 1 else 'checks'} failed; the lines with ✗ say what to do")


def _cluster(path: Path | None, package: str) -> Iterable[CheckResult]:
    if path is None and not os.environ.get(settings.VARIABLE):
        yield CheckResult("cluster", "skipped", f"none is given; name one with --cluster FILE or {settings.VARIABLE}")
        return
    try:
        cluster = settings.Cluster.read(path)
    except LooplineError as error:
        yield CheckResult("cluster", "failed", str(error))
        return
    from loopline.cluster import doctor

    yield from doctor.run_checks(cluster, usecase.load(package))


def _show(results: Iterable[CheckResult], console: Console) -> int:
    """Print results as they come; return how many failed."""
    failed = 0
    for result in results:
        failed += result.status == "failed"
        console.print(
            f"{_SIGNS[result.status]} {escape(result.name)}: {escape(result.message)}",
            highlight=False,
            soft_wrap=True,
        )
    return failed
