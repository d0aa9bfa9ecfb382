"""The endpoint of a use case on this machine, as whoever releases a version sees it.

What is wanted is written to one file, and the process that runs the endpoint brings it about. So it makes no difference
who asks, and one that asked and was killed has left either the old or the new.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from loopline.components.contract.model import Model
from loopline.components.deployment.targets import local_service
from loopline.components.deployment.targets.local_service import Share
from loopline.components.deployment.targets.state_dir import StateDir, Status
from loopline.components.errors import LooplineError

READY_SECONDS = 180.0
POLL = 0.01


class LocalEndpoint:
    """An endpoint on this machine. Changes return once they are in force.

    Args:
        state_dir: holds its state.
        name: of the use case.
    """

    def __init__(self, state_dir: StateDir, name: str) -> None:
        self.state_dir = state_dir
        self.name = name

    def set_canary(self, version: int, percent: int) -> None:
        """Give a version a share of the requests, starting it if it does not run.

        Args:
            version: of the model, in the registry.
            percent: of the requests, 0 to 100; the stable version gets the rest.

        Raises:
            LooplineError: the share is none, the version is the stable one or there is none, another canary runs, or
                the version does not become ready. Then everything is as before.
        """
        if not 0 <= percent <= 100:
            raise LooplineError(f"a canary gets 0 to 100 percent of the requests, not {percent}")
        with self._changing() as (stable, canary):
            if version == stable.version:
                raise LooplineError(f"version {version} is the stable one of {self.name} already: nothing to try")
            if canary and canary.version != version:
                raise LooplineError(f"version {canary.version} of {self.name} is on trial; promote or remove it first")
            share = Share(version, canary.repository, percent) if canary else self._share(version, percent)
            self._bring_about(stable, share)

    def promote(self, version: int) -> None:
        """Make the canary the stable version; the former stable one ends once it has answered what it has taken.

        Raises:
            LooplineError: that version is not the canary.
        """
        with self._changing() as (stable, canary):
            if version == stable.version:
                return
            if not canary or canary.version != version:
                raise LooplineError(f"version {version} of {self.name} is not on trial, so it cannot be promoted")
            self._bring_about(Share(version, canary.repository, 100), None)

    def remove_canary(self) -> None:
        """Give all requests to the stable version; the canary ends once it has answered what it has taken."""
        with self._changing() as (stable, canary):
            if canary:
                self._bring_about(Share(stable.version, stable.repository, 100), None)

    def status(self) -> Status | None:
        """What runs; None if nothing does."""
        return self.state_dir.status()

    def wait_until_ready(self, seconds: float = READY_SECONDS) -> Status:
        """Wait until it answers.

        Raises:
            LooplineError: it does not run, something is wrong with it, or it took too long.
        """
        return self._wait(None, time.monotonic() + seconds)

    def _bring_about(self, stable: Share, canary: Share | None) -> None:
        before = self.state_dir.desired()
        state = self.state_dir.write_desired(local_service.with_shares(before, stable, canary))
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

    def _share(self, version: int, percent: int) -> Share:
        return Share(version, self._package(version).path / "repository", percent)

    def _package(self, version: int) -> Model:
        """The package of a version, where the endpoint looks for it.

        Raises:
            LooplineError: it is not there, or damaged.
        """
        return Model.open(self.state_dir.model(version))

    @contextmanager
    def _changing(self) -> Iterator[tuple[Share, Share | None]]:
        """Stable and canary as they are wanted now, for one who alone may change that."""
        self._running()
        descriptor = os.open(self.state_dir.path / ".change", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield local_service.shares(self.state_dir.desired())
        finally:
            os.close(descriptor)


def _problem(status: Status, state: str | None) -> str:
    """What stands in the way of a state; what was wrong before it was wanted does not."""
    if status.problem:
        return status.problem
    waited_for = [v for v in status.versions.values() if state is None or not v.percent]
    return "; ".join(version.problem for version in waited_for if version.problem)
