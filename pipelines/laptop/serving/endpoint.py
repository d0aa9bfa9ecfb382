"""The endpoint of a use case, as whoever releases a version sees it.

What is wanted is written to one file, and the process that runs the endpoint brings it about. So it makes no difference
who asks, and one that asked and was killed has left either the old or the new.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from components.contract.errors import LooplineError
from components.contract.model import Model
from components.contract.usecase import UseCase
from pipelines.laptop.home import Home
from pipelines.laptop.serving import envoy, service
from pipelines.laptop.serving.place import Place, Status
from pipelines.laptop.serving.service import Share

READY_SECONDS = 180.0
POLL = 0.01


@dataclass(frozen=True)
class Endpoint:
    """An endpoint on this machine. Changes return once they are in force.

    Attributes:
        home: where state lies.
        case: the use case.
    """

    home: Home
    case: UseCase

    @property
    def place(self) -> Place:
        """Where its state lies."""
        return Place.of(self.home, self.case.spec.name)

    def prepare(self, version: int) -> None:
        """Make a version the one that answers, before the endpoint is started.

        Raises:
            LooplineError: there is no such version, or its files are damaged.
        """
        self.place.want(service.inference_service(self.case.spec.name, self._share(version, 100)))

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
                raise LooplineError(
                    f"version {version} is the stable one of {self.case.spec.name} already: nothing to try"
                )
            if canary and canary.version != version:
                raise LooplineError(
                    f"version {canary.version} of {self.case.spec.name} is on trial; promote or remove it first"
                )
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
                raise LooplineError(
                    f"version {version} of {self.case.spec.name} is not on trial, so it cannot be promoted"
                )
            self._bring_about(Share(version, canary.repository, 100), None)

    def remove_canary(self) -> None:
        """Give all requests to the stable version; the canary ends once it has answered what it has taken."""
        with self._changing() as (stable, canary):
            if canary:
                self._bring_about(Share(stable.version, stable.repository, 100), None)

    def status(self) -> Status | None:
        """What runs; None if nothing does."""
        return self.place.status()

    def counters(self) -> dict[str, dict[str, int]]:
        """Requests, failed ones and active ones by version, as Envoy counted them.

        Raises:
            LooplineError: nothing runs, or Envoy does not answer.
        """
        return envoy.Admin(self._running().admin).counters()

    def wait_until_ready(self, seconds: float = READY_SECONDS) -> Status:
        """Wait until it answers.

        Raises:
            LooplineError: it does not run, something is wrong with it, or it took too long.
        """
        return self._wait(None, time.monotonic() + seconds)

    def _bring_about(self, stable: Share, canary: Share | None) -> None:
        before = self.place.wanted()
        state = self.place.want(service.inference_service(self.case.spec.name, stable, canary))
        try:
            self._wait(state, time.monotonic() + READY_SECONDS)
        except LooplineError:
            self.place.want(before)
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
                    f"the endpoint of {self.case.spec.name} did not become ready in time; "
                    f"its logs are in {self.place.logs}"
                )
            time.sleep(POLL)

    def _running(self) -> Status:
        status = self.status()
        if status is None:
            raise LooplineError(f"no endpoint of {self.case.spec.name} runs; start it with `loopline serve`")
        return status

    def _share(self, version: int, percent: int) -> Share:
        path = self.place.model(version)
        if not path.is_dir():
            from components.registry.fetch import fetch_model

            fetch_model(self.case.package, self.home.registry, str(version), path)
        model = Model.open(path)
        return Share(version, model.path / "repository", percent)

    @contextmanager
    def _changing(self) -> Iterator[tuple[Share, Share | None]]:
        """Stable and canary as they are wanted now, for one who alone may change that."""
        self._running()
        descriptor = os.open(self.place.root / ".change", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield service.shares(self.place.wanted())
        finally:
            os.close(descriptor)


def _problem(status: Status, state: str | None) -> str:
    """What stands in the way of a state; what was wrong before it was wanted does not."""
    if status.problem:
        return status.problem
    waited_for = [v for v in status.versions.values() if state is None or not v.percent]
    return "; ".join(version.problem for version in waited_for if version.problem)
