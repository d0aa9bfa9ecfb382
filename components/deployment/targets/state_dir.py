"""Where the endpoint of a use case on this machine keeps its state, and who runs it.

Layout of its folder::

    inference-service.yaml   what is wanted: versions and weights
    status.json              what is: ports, readiness, problems; written by the one process that runs the endpoint
    models/v<N>/             the packaged models
    log/                     the prediction log
    envoy/                   what Envoy reads
    logs/                    what each process said
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from loopline.components.errors import LooplineError
from loopline.components.io import atomic, digest

ATTEMPTS = 20


@dataclass(frozen=True)
class VersionStatus:
    """A version that runs.

    Attributes:
        ready: it answers now.
        problem: why not, if something is wrong.
        percent: of the requests that it gets.
        processes: process id by part.
        ports: port by part.
    """

    ready: bool
    percent: int
    problem: str = ""
    processes: dict[str, int] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Status:
    """What runs.

    Attributes:
        supervisor: id of the process that runs the endpoint.
        envoy: Envoy's process id.
        port: where it answers, over HTTP and gRPC.
        admin: Envoy's admin interface.
        state: identity of the InferenceService that is in force.
        predictor: the server behind the transformers: triton or onnx.
        problem: what is wrong with the endpoint as a whole.
        versions: by number.
    """

    supervisor: int
    envoy: int
    port: int
    admin: int
    state: str
    predictor: str
    problem: str
    versions: dict[str, VersionStatus]

    @property
    def ready(self) -> bool:
        """Every version that gets requests answers them."""
        serving = [version for version in self.versions.values() if version.percent]
        return not self.problem and bool(serving) and all(version.ready for version in serving)


@dataclass(frozen=True)
class StateDir:
    """The folder of one use case's endpoint."""

    path: Path

    @property
    def envoy(self) -> Path:
        """What Envoy reads."""
        return self.path / "envoy"

    @property
    def logs(self) -> Path:
        """What each process said."""
        return self.path / "logs"

    @property
    def prediction_log(self) -> Path:
        """The prediction log, of all versions."""
        return self.path / "log"

    def model(self, version: int) -> Path:
        """Where a version's package lies."""
        return self.path / "models" / f"v{version}"

    def storage_uri(self, version: int) -> str:
        """URI of the model repository of a version's package."""
        return (self.model(version) / "repository").as_uri()

    def write_desired(self, service: dict[str, Any]) -> str:
        """Write the InferenceService that is wanted, and return its identity."""
        atomic.write_text(self._desired_file, yaml.safe_dump(service, sort_keys=False))
        return digest.of_value(service)

    def desired(self) -> dict[str, Any]:
        """The InferenceService that is wanted.

        Raises:
            LooplineError: there is none.
        """
        try:
            found: dict[str, Any] = yaml.load(self._desired_file.read_text(encoding="utf-8"), yaml.CSafeLoader)
        except FileNotFoundError as error:
            raise LooplineError(
                f"{self._desired_file} does not exist; start the endpoint with `loopline serve`"
            ) from error
        return found

    def write_status(self, status: Status) -> None:
        """Write what is."""
        atomic.write_text(self.path / "status.json", json.dumps(asdict(status), indent=1))

    def status(self) -> Status | None:
        """What is; None if nothing runs."""
        if not self.running():
            return None
        try:
            raw = json.loads((self.path / "status.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        versions = {number: VersionStatus(**version) for number, version in raw.pop("versions").items()}
        return Status(**raw, versions=versions)

    def last_change(self) -> int:
        """When the InferenceService was last written: a number that differs each time."""
        try:
            return self._desired_file.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def running(self) -> bool:
        """Whether a process runs the endpoint."""
        descriptor = self._lock(fcntl.LOCK_SH)
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Run the endpoint, as the only process that does; the lock goes with the process, however that ends.

        Raises:
            LooplineError: another one does.
        """
        for _ in range(ATTEMPTS):
            if (descriptor := self._lock(fcntl.LOCK_EX)) is not None:
                break
            time.sleep(0.05)  # one who looks whether it runs holds the lock for a moment
        else:
            raise LooplineError(
                f"an endpoint in {self.path} runs already; `loopline serve --status` shows it, `--stop` ends it"
            )
        try:
            (self.path / "status.json").unlink(missing_ok=True)
            yield
        finally:
            os.close(descriptor)

    @property
    def _desired_file(self) -> Path:
        return self.path / "inference-service.yaml"

    def _lock(self, kind: int) -> int | None:
        """The descriptor of a lock; None if somebody else has it."""
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor
