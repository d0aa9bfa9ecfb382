"""The endpoint on this machine as the target of a release: weights in Envoy, the record in a file beside it.

Layout, in the endpoint's state dir::

    release/release.json   the record
    release/generation     the highest generation that was applied
"""

import fcntl
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from loopline.components.contract.model import Model
from loopline.components.deployment.kserve import inference_service, render
from loopline.components.deployment.release.record import Record
from loopline.components.deployment.release.record_file import RecordFile
from loopline.components.deployment.release.target import CanaryFailedError, expect_current
from loopline.components.deployment.release.traffic_split import TrafficSplit
from loopline.components.deployment.release.transitions import Action
from loopline.components.deployment.targets.local_endpoint import LocalEndpoint
from loopline.components.errors import LooplineError
from loopline.components.io import atomic

FOLDER = "release"
UNREADY_SECONDS = 5.0


class LocalTarget:
    """A running endpoint of this machine, and the record of its release.

    Args:
        endpoint: the endpoint.
    """

    def __init__(self, endpoint: LocalEndpoint) -> None:
        self._endpoint = endpoint
        self._folder = endpoint.state_dir.path / FOLDER
        self._file = RecordFile(self._folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes of this machine from releasing; the lock ends with the process, even if it is killed.

        Raises:
            LooplineError: another process releases.
        """
        with _opened(self._folder / ".releasing") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LooplineError(
                    f"another process carries out a release of {self._endpoint.name} here: let it end"
                ) from error
            yield

    def traffic_split(self) -> TrafficSplit:
        """The desired versions and their shares."""
        return inference_service.traffic_split(self.service())

    def service(self) -> dict[str, Any]:
        """The desired InferenceService."""
        return self._endpoint.state_dir.desired()

    def rendered(self, action: Action, record: Record) -> dict[str, Any]:
        """The InferenceService after an action."""
        uri = self._endpoint.state_dir.storage_uri(int(record.canary))
        return render.apply_action(self.service(), action, record, uri)

    def upload_model(self, version: str, model: Model) -> None:
        """Copy the package to where the endpoint looks for it, unless it is there already."""
        folder = self._endpoint.state_dir.model(int(version))
        if not folder.is_dir():
            with atomic.new_folder(folder) as copy:
                shutil.copytree(model.path, copy, dirs_exist_ok=True)
        if Model.open(folder).digest != model.digest:
            raise LooplineError(f"{folder} holds another model than the one that is registered: delete that folder")

    def record(self) -> Record | None:
        """The current or last release."""
        return self._file.read()

    def store(self, record: Record) -> None:
        """Store the next generation of the record."""
        self._file.store(record)

    def apply(self, action: Action, record: Record) -> None:
        """Set the weight in Envoy, promote, or remove the canary; open requests are answered."""
        with _opened(self._folder / ".applying") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            expect_current(action, record.endpoint, self._generation())
            atomic.write_text(self._folder / "generation", f"{action.generation}\n")
            if action.kind == "shift":
                self._shift(int(record.canary), action.percent)
            elif action.kind == "promote":
                self._endpoint.promote(int(record.canary))
            else:
                self._endpoint.remove_canary()

    def failure(self, record: Record) -> str | None:
        """A problem of the canary's processes that lasts; under load a single readiness probe may time out."""
        end = time.monotonic() + UNREADY_SECONDS
        while (problem := self._problem(record)) and time.monotonic() < end:
            time.sleep(UNREADY_SECONDS / 10)
        return problem

    def _problem(self, record: Record) -> str | None:
        status = self._endpoint.status()
        if status is None:
            raise LooplineError(
                f"the endpoint of {record.endpoint} does not run: start it with `loopline serve`, and release again to "
                "continue"
            )
        canary = status.versions.get(record.canary)
        return (canary.problem or None) if canary else "it does not run"

    def _shift(self, version: int, percent: int) -> None:
        try:
            self._endpoint.set_canary(version, percent)
        except LooplineError as error:
            if self._endpoint.status() is None:
                raise
            raise CanaryFailedError(str(error)) from error

    def _generation(self) -> int:
        try:
            return int((self._folder / "generation").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return 0


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        yield file
