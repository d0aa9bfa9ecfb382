"""Run an endpoint in the background: ``loopline serve`` in a process of its own."""

import sys
import time

from loopline.components.contract import usecase
from loopline.components.errors import LooplineError
from loopline.local.endpoint.endpoint import Endpoint
from loopline.local.endpoint.process import Process
from loopline.local.workspace import Workspace


def start(package: str, version: str = "champion", port: int = 0, *, use_triton: bool = True) -> Endpoint:
    """Serve a version in the background, and return once it answers. It stops when this process exits.

    Raises:
        LooplineError: it could not be started.
    """
    endpoint = Endpoint(Workspace.find(), usecase.load(package))
    expect_none(endpoint)
    command = [sys.executable, "-P", "-m", "loopline.cli.app", "serve", "--usecase", package, "--version", version]
    command += ["--port", str(port), *([] if use_triton else ["--no-triton"])]
    started = Process.start("the endpoint", command, {}, endpoint.state_dir.logs / "supervisor.log")
    try:
        while endpoint.status() is None:
            if started.handle.poll() is not None:
                output = started.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                raise LooplineError((output or ["it printed nothing"])[-1].removeprefix("error: "))
            time.sleep(0.05)
        endpoint.wait_until_ready()
    except BaseException:
        started.terminate()
        raise
    return endpoint


def expect_none(endpoint: Endpoint) -> None:
    """Refuse to start an endpoint of a use case that has one.

    Raises:
        LooplineError: an endpoint of the use case runs.
    """
    if endpoint.state_dir.running():
        raise LooplineError(
            f"an endpoint of {endpoint.case.spec.name} runs already; "
            "`loopline serve --status` shows it, `--stop` ends it"
        )
