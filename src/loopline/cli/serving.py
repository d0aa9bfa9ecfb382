"""``loopline serve``: the endpoint of a use case on this machine."""

import json
import os
import signal
import time

from rich.console import Console
from rich.markup import escape

from loopline.components.contract import usecase
from loopline.components.contract.usecase import UseCase
from loopline.components.deployment.targets.state_dir import Status
from loopline.components.errors import LooplineError
from loopline.local.endpoint.background import expect_none
from loopline.local.endpoint.endpoint import Endpoint
from loopline.local.endpoint.replay import instances, request_fields
from loopline.local.endpoint.supervisor import Supervisor
from loopline.local.endpoint.triton_server import Triton
from loopline.local.workspace import Workspace

STOP_SECONDS = 60.0


def serve(package: str, version: str, port: int, console: Console, *, use_triton: bool) -> None:
    """Serve a version until Ctrl-C; print how to call it once it is ready, and a warning if it never passed its gates.

    Args:
        package: the use case.
        version: number or alias of the model.
        port: where the endpoint listens; 0 for a free one.
        console: for messages.
        use_triton: whether to serve the model with Triton, if it is installed.

    Raises:
        LooplineError: there is no such version, or the endpoint cannot be started.
    """
    workspace, case = Workspace.find(), usecase.load(package)
    endpoint = Endpoint(workspace, case)
    expect_none(endpoint)
    number = _number(case, workspace, version)
    endpoint.prepare(number)
    _warn_unless_passed(case, workspace, number, console)
    triton = Triton()
    missing = triton.missing() if use_triton else "--no-triton is set"
    if missing:
        console.print(f"{missing}: the model is served with KServe's ONNX server", highlight=False)
    printer = _StatusPrinter(case, console)
    Supervisor(workspace, case, port, None if missing else triton).run(printer.print_changes)


def stop(package: str, console: Console) -> None:
    """Stop the endpoint and all of its processes.

    Raises:
        LooplineError: it does not stop in time.
    """
    case = usecase.load(package)
    state_dir = Endpoint(Workspace.find(), case).state_dir
    status = state_dir.status()
    if status is None:
        console.print(f"no endpoint of {case.spec.name} is running", highlight=False)
        return
    os.kill(status.supervisor, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while state_dir.running():
        if time.monotonic() > deadline:
            raise LooplineError(f"process {status.supervisor} does not stop; its logs are in {state_dir.logs}")
        time.sleep(0.05)
    console.print(f"the endpoint of {case.spec.name} has stopped", highlight=False)


def show(package: str, console: Console) -> None:
    """Print the status of the endpoint.

    Raises:
        LooplineError: it has a problem, or is not ready.
    """
    case = usecase.load(package)
    status = Endpoint(Workspace.find(), case).status()
    if status is None:
        console.print(f"no endpoint of {case.spec.name} is running", highlight=False)
        return
    for line in _lines(status):
        console.print(line, highlight=False)
    if not status.ready:
        problems = [status.problem, *(version.problem for version in status.versions.values())]
        raise LooplineError("; ".join(filter(None, problems)) or "it is not ready yet")


class _StatusPrinter:
    """Prints what changes."""

    def __init__(self, case: UseCase, console: Console) -> None:
        self._case, self._console = case, console
        self._was_ready, self._printed = False, ""

    def print_changes(self, status: Status) -> None:
        """Print new problems and, the first time that the endpoint is ready, how to call it.

        Raises:
            LooplineError: it has a problem before it was ever ready.
        """
        problems = "; ".join(filter(None, [status.problem, *(v.problem for v in status.versions.values())]))
        if problems and not self._was_ready:
            raise LooplineError(problems)
        if problems != self._printed:
            self._printed = problems
            if problems:
                self._console.print(f"[red]{escape(problems)}[/]", highlight=False, soft_wrap=True)
        if status.ready and not self._was_ready:
            self._was_ready = True
            for line in [*_lines(status), *_examples(self._case, status.port)]:
                self._console.print(escape(line), highlight=False, soft_wrap=True)


def _lines(status: Status) -> list[str]:
    server = "Triton" if status.predictor == "triton" else "KServe's ONNX server"
    return [f"http://127.0.0.1:{status.port} serves HTTP and gRPC, with {server}"] + [
        f"  version {number}: {version.percent} % of the requests, {'ready' if version.ready else 'not ready'}"
        for number, version in sorted(status.versions.items(), key=lambda item: int(item[0]))
    ]


def _examples(case: UseCase, port: int) -> list[str]:
    """How to call it: with the first event of the last window that is replayed."""
    name, url = case.spec.name, f"http://127.0.0.1:{port}"
    row = next(instances(case, *case.spec.replay.compare, request_fields(url, name)))
    body = json.dumps({"instances": [row]})
    return [
        "try it:",
        f"  curl -H 'Content-Type: application/json' {url}/v1/models/{name}:predict -d '{body}'",
        f"  curl {url}/v2/models/{name}",
        "stop it with Ctrl-C or `loopline serve --stop`",
    ]


def _warn_unless_passed(case: UseCase, workspace: Workspace, version: int, console: Console) -> None:
    from loopline.components.registry.models import passed_gates

    if not passed_gates(case.spec.name, workspace.registry, version):
        console.print(
            f"[yellow]warning: version {version} of {case.spec.name} has not passed its gates, or was never validated; "
            "use it for tests only[/]",
            highlight=False,
            soft_wrap=True,
        )


def _number(case: UseCase, workspace: Workspace, version: str) -> int:
    if version.isdecimal():
        return int(version)
    from loopline.components.registry.fetch import resolve

    found = resolve(case.spec.name, workspace.registry, version)
    if found is None:
        raise LooplineError(
            f"{case.spec.name} has no version '{version}'; `loopline models` lists them, `loopline loop` trains some"
        )
    return found
