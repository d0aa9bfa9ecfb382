"""Change which versions an endpoint on this machine serves.

A change writes the desired InferenceService to one file, and the process that runs the endpoint reconciles it. So it
does not matter which process makes the change, and one that is killed leaves either the old state or the new.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from loopline.components.contract.model import Model
from loopline.components.deployment.kserve import render
from loopline.components.deployment.kserve.inference_service import traffic_split
from loopline.components.deployment.targets.state_dir import StateDir, Status
from loopline.components.errors import LooplineError

READY_SECONDS = 180.0
POLL = 0.01


class LocalEndpoint:
    """An endpoint on this machine. Each change returns once it is in force.

    Args:
        state_dir: of the endpoint.
        name: of the use case.
    """

    def __init__(self, state_dir: StateDir, name: str) -> None:
        self.state_dir = state_dir
        self.name = name

    def set_canary(self, version: int, percent: int) -> None:
        """Give a version a share of the requests, and start it if it does not run.

        Args:
            version: of the model, in the registry.
            percent: of the requests, 0 to 100; the stable version gets the rest.

        Raises:
            LooplineError: the percentage is out of range, the version is the stable one or does not exist, there is
                another canary, or the version does not become ready. Then nothing has changed.
        """
        if not 0 <= percent <= 100:
            raise LooplineError(f"a canary gets 0 to 100 percent of the requests, not {percent}")
        with self._changing() as service:
            split, canary = traffic_split(service), str(version)
            if canary == split.stable:
                raise LooplineError(f"version {version} is the stable one of {self.name} already: nothing to try")
            if split.canary not in {None, canary}:
                raise LooplineError(f"version {split.canary} of {self.name} is on trial; promote or remove it first")
            uri = "" if split.canary else self._storage_uri(version)
            self._apply(service, render.with_canary(service, canary, percent, uri, least=0))

    def promote(self, version: int) -> None:
        """Make the canary the stable version; the former one exits once it has answered its open requests.

        Raises:
            LooplineError: that version is not the canary.
        """
        with self._changing() as service:
            split = traffic_split(service)
            if str(version) == split.stable:
                return
            if str(version) != split.canary:
                raise LooplineError(f"version {version} of {self.name} is not on trial, so it cannot be promoted")
            self._apply(service, render.promoted(service))

    def remove_canary(self) -> None:
        """Send all requests to the stable version; the canary exits once it has answered its open requests."""
        with self._changing() as service:
            if traffic_split(service).canary:
                self._apply(service, render.without_canary(service))

    def status(self) -> Status | None:
        """The observed state; None if the endpoint does not run."""
        return self.state_dir.status()

    def wait_until_ready(self, seconds: float = READY_SECONDS) -> Status:
        """Wait until the endpoint answers.

        Raises:
            LooplineError: it does not run, has a problem, or took too long.
        """
        return self._wait(None, time.monotonic() + seconds)

    def _apply(self, before: dict[str, Any], service: dict[str, Any]) -> None:
        """Write the desired service and wait until it is in force; restore the former one if that fails."""
        state = self.state_dir.write_desired(service)
        try:
            self._wait(state, time.monotonic() + READY_SECONDS)
        except LooplineError:
            self.state_dir.write_desired(before)
            raise

    def _wait(self, state: str | None, deadline: float) -> Status:
        while True:
            status = self._running() if state else self.status()
            if status and (problem := _problem(status, state)):
                raise LooplineError(problem)
            if status and (status.state == state if state else status.ready):
                return status
            if time.monotonic() > deadline:
                raise LooplineError(
                    f"the endpoint of {self.name} did not become ready in time; its logs are in {self.state_dir.logs}"
                )
            time.sleep(POLL)

    def _running(self) -> Status:
        status = self.status()
        if status is None:
            raise LooplineError(f"no endpoint of {self.name} runs; start it with `loopline serve`")
        return status

    def _storage_uri(self, version: int) -> str:
        """URI of the model repository of a version.

        Raises:
            LooplineError: the package is missing or damaged.
        """
        self._package(version)
        return self.state_dir.storage_uri(version)

    def _package(self, version: int) -> Model:
        """The package of a version, where the endpoint looks for it.

        Raises:
            LooplineError: it is missing or damaged.
        """
        return Model.open(self.state_dir.model(version))

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Any]]:
        """The desired InferenceService, under a lock that no other change can take."""
        self._running()
        descriptor = os.open(self.state_dir.path / ".change", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield self.state_dir.desired()
        finally:
            os.close(descriptor)


def _problem(status: Status, state: str | None) -> str:
    """What keeps a desired state from being reached; problems that a serving version had before do not count."""
    if status.problem:
        return status.problem
    waited_for = [v for v in status.versions.values() if state is None or not v.percent]
    return "; ".join(version.problem for version in waited_for if version.problem)
