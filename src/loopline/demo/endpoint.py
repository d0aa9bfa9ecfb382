"""The endpoint that the demo releases at: served on this machine for as long as the demo takes."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from loopline.components.contract.model import Model
from loopline.components.contract.usecase import UseCase
from loopline.components.errors import LooplineError
from loopline.components.io import atomic
from loopline.demo.step import PackagedVersion
from loopline.local.endpoint import background
from loopline.local.endpoint.endpoint import Endpoint
from loopline.local.workspace import Workspace

MARK = "of-the-loop"  # in the state dir of an endpoint that a loop serves
SHUTDOWN_SECONDS = 60.0


@contextmanager
def served(workspace: Workspace, case: UseCase, version: PackagedVersion) -> Iterator[Endpoint]:
    """Serve a version, and stop the endpoint at the end of the block.

    An endpoint that a killed loop left running is stopped first.

    Args:
        workspace: has the state of the endpoint.
        case: the use case.
        version: to serve.

    Raises:
        LooplineError: someone else serves an endpoint of the use case, or it cannot be served here.
    """
    endpoint = Endpoint(workspace, case)
    mark = endpoint.state_dir.path / MARK
    if endpoint.state_dir.running() and mark.exists():
        _stop(endpoint)
    if endpoint.state_dir.running():
        raise LooplineError(f"an endpoint of {case.spec.name} is being served, and the loop needs one of its own")
    atomic.remove_leftovers(endpoint.state_dir.path)
    install_model(version, endpoint)
    atomic.write_text(mark, "")
    try:
        background.start(case.package, str(version.number))
        yield endpoint
    finally:
        _stop(endpoint)
        mark.unlink(missing_ok=True)


def install_model(version: PackagedVersion, endpoint: Endpoint) -> None:
    """Copy a package to where the endpoint looks for that version, unless the same model is there already."""
    folder, model = endpoint.state_dir.model(version.number), version.model
    if model.path == folder or (folder.is_dir() and Model.open(folder, verify=False).digest == model.digest):
        return
    with atomic.new_folder(folder) as copy:
        shutil.copytree(model.path, copy, dirs_exist_ok=True)


def _stop(endpoint: Endpoint) -> None:
    """Stop the processes of an endpoint.

    Raises:
        LooplineError: they did not exit in time.
    """
    if status := endpoint.status():
        os.kill(status.supervisor, signal.SIGTERM)
    deadline = time.monotonic() + SHUTDOWN_SECONDS
    while endpoint.state_dir.running():
        if time.monotonic() > deadline:
            raise LooplineError(
                f"the endpoint in {endpoint.state_dir.path} does not stop; `loopline serve --stop` stops it"
            )
        time.sleep(0.05)
