"""The state dir of an endpoint on this machine: desired state, status, models and logs.

Layout::

    inference-service.yaml   the desired state: versions and weights
    status.json              the status: ports, readiness, problems; written by the process that runs the endpoint
    models/v<N>/             packaged models
    log/                     the prediction log
    envoy/                   Envoy's configuration
    logs/                    output of each process
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
    """Status of a running version.

    Attributes:
        ready: whether it answers now.
        percent: of the requests that it gets.
        problem: what is wrong with it; empty if nothing is.
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
    """Status of a running endpoint.

    Attributes:
        supervisor: id of the process that runs the endpoint.
        envoy: id of Envoy's process.
        port: of the endpoint, for HTTP and gRPC.
        admin: port of Envoy's admin interface.
        state: digest of the InferenceService that is in force.
        predictor: the server behind the transformers: triton or onnx.
        problem: what is wrong with the endpoint as a whole; empty if nothing is.
        versions: status of each version, by number.
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
        """Whether every version that gets requests is ready."""
        serving = [version for version in self.versions.values() if version.percent]
        return not self.problem and bool(serving) and all(version.ready for version in serving)


@dataclass(frozen=True)
class StateDir:
    """The state dir of one use case's endpoint."""

    path: Path

    @property
    def envoy(self) -> Path:
        """Envoy's configuration."""
        return self.path / "envoy"

    @property
    def logs(self) -> Path:
        """Output of each process."""
        return self.path / "logs"

    @property
    def prediction_log(self) -> Path:
        """The prediction log, of all versions."""
        return self.path / "log"

    def model(self, version: int) -> Path:
        """Folder of a version's package."""
        return self.path / "models" / f"v{version}"

    def storage_uri(self, version: int) -> str:
        """URI of the model repository of a version's package."""
        return (self.model(version) / "repository").as_uri()

    def write_desired(self, service: dict[str, Any]) -> str:
        """Write the desired InferenceService, and return its digest."""
        atomic.write_text(self._desired_file, yaml.safe_dump(service, sort_keys=False))
        return digest.of_value(service)

    def desired(self) -> dict[str, Any]:
        """The desired InferenceService.

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
        """Write the status."""
        atomic.write_text(self.path / "status.json", json.dumps(asdict(status), indent=1))

    def status(self) -> Status | None:
        """The status; None if the endpoint does not run."""
        if not self.running():
            return None
        try:
            raw = json.loads((self.path / "status.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        versions = {number: VersionStatus(**version) for number, version in raw.pop("versions").items()}
        return Status(**raw, versions=versions)

    def last_change(self) -> int:
        """When the desired InferenceService was last written, in nanoseconds; 0 if it does not exist."""
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
        """Hold the lock of the process that runs the endpoint; it ends with the process, even if that is killed.

        Raises:
            LooplineError: another process runs the endpoint.
        """
        for _ in range(ATTEMPTS):
            if (descriptor := self._lock(fcntl.LOCK_EX)) is not None:
                break
            time.sleep(0.05)  # `running` of another process holds the lock for a moment
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
        """The descriptor of a lock; None if another process holds it."""
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor
