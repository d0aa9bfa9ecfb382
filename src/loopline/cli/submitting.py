"""``loopline submit`` and ``loopline watch``: runs on a cluster."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from kfp_server_api import V2beta1Run
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from loopline.cluster import names, progress
from loopline.cluster.kfp_client import KfpClient
from loopline.cluster.kfp_errors import UnavailableError
from loopline.cluster.settings import Cluster
from loopline.cluster.submit import submit
from loopline.components.contract import usecase
from loopline.components.contract.window import parse_time
from loopline.components.errors import LooplineError

POLL = 5.0
# How long a server may be away, such as for an upgrade, before watching fails.
AWAY_SECONDS = 300.0
_SIGNS = {"SUCCEEDED": "[green]✓[/]", "FAILED": "[red]✗[/]", "CANCELED": "[red]✗[/]", "SKIPPED": "[dim]-[/]"}


def submit_run(
    pipeline: str,
    package: str,
    given: Mapping[str, str],
    at: str,
    version: str,
    settings: Path | None,
    console: Console,
    *,
    follow: bool,
) -> None:
    """Create a run on a cluster, at most one for each scheduled moment, and follow it if asked to.

    Raises:
        LooplineError: a check failed, and no run was created; or the run was followed and failed.
    """
    from loopline.cluster.doctor import require_ready

    cluster = Cluster.read(settings)
    case = usecase.load(package)
    moment = _moment(at, case.spec.timezone)
    server = KfpClient(cluster)
    server.check()
    found = server.version(names.pipeline_name(case, pipeline), version or None)
    require_ready(cluster, found)
    run = submit(server, cluster, pipeline, case, given, moment, found)
    verb = "had been submitted already" if run.existed else "submitted"
    console.print(f"run {run.id} ({run.name}, version {found.name}) {verb}", highlight=False, soft_wrap=True)
    if follow:
        _follow(server, run.id, console)


def watch_run(identity: str, settings: Path | None, console: Console) -> None:
    """Follow a run to its end and print its steps.

    Raises:
        LooplineError: there is no such run, or it did not succeed.
    """
    _follow(KfpClient(Cluster.read(settings)), identity, console)


def _moment(text: str, timezone: str) -> datetime | None:
    return parse_time(text, ZoneInfo(timezone)) if text else None


def _follow(server: KfpClient, identity: str, console: Console, sleep: Callable[[float], None] = time.sleep) -> None:
    printed: set[str] = set()
    run = _get_run(server, identity, sleep)
    with console.status("") as status:
        while True:
            steps = progress.steps_of(run)
            for step in steps:
                if step.state in progress.ENDED and step.name not in printed:
                    printed.add(step.name)
                    took = "" if step.seconds is None else f"{step.seconds:.0f} s"
                    console.print(f"  {_SIGNS[step.state]} {escape(step.name):<40} {took:>8}", highlight=False)
            if run.state in progress.ENDED:
                break
            running = ", ".join(step.name for step in steps if step.state not in progress.ENDED)
            status.update(f"{run.display_name} [bold]{escape(running or 'waiting')}[/]")
            sleep(POLL)
            run = _get_run(server, identity, sleep)
    _conclude(run, console)


def _conclude(run: V2beta1Run, console: Console) -> None:
    table = Table("step", "state", "time", "why", box=None, header_style="bold")
    for step in progress.steps_of(run):
        took = "" if step.seconds is None else f"{step.seconds:.0f} s"
        table.add_row(step.name, step.state.lower(), took, escape(step.reason))
    console.print(table)
    console.print(f"run {run.run_id} ({run.display_name}): {run.state.lower()}", highlight=False, soft_wrap=True)
    if run.state != progress.SUCCEEDED:
        raise LooplineError(f"run {run.run_id}: {progress.failure(run)}")


def _get_run(server: KfpClient, identity: str, sleep: Callable[[float], None]) -> V2beta1Run:
    """Get a run, and try again while the server is away."""
    waited = 0.0
    while True:
        try:
            return server.run(identity)
        except UnavailableError:
            if waited >= AWAY_SECONDS:
                raise
            sleep(POLL)
            waited += POLL
