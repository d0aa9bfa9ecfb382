"""What the acts are played on: an endpoint of this machine, served for as long as they take."""

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
from loopline.demo.step import Version
from loopline.local.endpoint import background
from loopline.local.endpoint.endpoint import Endpoint
from loopline.local.workspace import Workspace

MARK = "of-the-loop"  # in the place of an endpoint that a loop serves
END_SECONDS = 60.0


@contextmanager
def served(workspace: Workspace, case: UseCase, version: Version) -> Iterator[Endpoint]:
    """Serve a version, and end the endpoint whatever happens; that of a loop that was killed is ended first.

    Args:
        workspace: where state lies.
        case: the use case.
        version: what answers.

    Raises:
        LooplineError: somebody else serves an endpoint of the use case, or none can be served here.
    """
    endpoint = Endpoint(workspace, case)
    mark = endpoint.place.root / MARK
    if endpoint.place.running() and mark.exists():
        _end(endpoint)
    if endpoint.place.running():
        raise LooplineError(f"an endpoint of {case.spec.name} is being served, and the loop needs one of its own")
    atomic.remove_leftovers(endpoint.place.root)
    lay_down(version, endpoint)
    atomic.write_text(mark, "")
    try:
        background.start(case.package, str(version.number))
        yield endpoint
    finally:
        _end(endpoint)
        mark.unlink(missing_ok=True)


def lay_down(version: Version, endpoint: Endpoint) -> None:
    """Put a package where an endpoint looks for the version, unless it is there."""
    folder, model = endpoint.place.model(version.number), version.model
    if model.path == folder or (folder.is_dir() and Model.open(folder, verify=False).digest == model.digest):
        return
    with atomic.new_folder(folder) as copy:
        shutil.copytree(model.path, copy, dirs_exist_ok=True)


def _end(endpoint: Endpoint) -> None:
    """End the processes of an endpoint.

    Raises:
        LooplineError: they do not end.
    """
    if status := endpoint.status():
        os.kill(status.supervisor, signal.SIGTERM)
    end = time.monotonic() + END_SECONDS
    while endpoint.place.running():
        if time.monotonic() > end:
            raise LooplineError(f"the endpoint in {endpoint.place.root} does not end; `loopline serve --stop` ends it")
        time.sleep(0.05)
