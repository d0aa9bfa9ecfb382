"""What carries a release out: an endpoint whose traffic can be moved, and the place of the release's record."""

from contextlib import AbstractContextManager
from typing import Any, Protocol

from loopline.components.contract.model import Model
from loopline.components.deployment.release.record import Record
from loopline.components.deployment.release.traffic_split import TrafficSplit
from loopline.components.deployment.release.transitions import Action
from loopline.components.errors import LooplineError


class CanaryFailedError(LooplineError):
    """The canary cannot be brought to serve; the release is rolled back."""


class StaleActionError(LooplineError):
    """Somebody went on with the release: the endpoint has seen a higher generation than the action's."""


class Target(Protocol):
    """An endpoint under release.

    The record is stored only over the generation that it was made from, and an action is carried out only if none of a
    higher generation was: so two releases cannot interleave, and whoever slept through his lease changes nothing.
    """

    def locked(self) -> AbstractContextManager[None]:
        """Release as the only process that does from here, as far as that can be said.

        Raises:
            LooplineError: another process does, or the endpoint is not in a state to be released at.
        """

    def traffic_split(self) -> TrafficSplit:
        """Which versions are wanted at the endpoint now, and how much the canary gets.

        Raises:
            LooplineError: there is no such endpoint, or it cannot be reached.
        """

    def service(self) -> dict[str, Any]:
        """The InferenceService as it is wanted now.

        Raises:
            LooplineError: there is no such endpoint, or it cannot be reached.
        """

    def rendered(self, action: Action, record: Record) -> dict[str, Any]:
        """The InferenceService as an action would have it; nothing is changed.

        Raises:
            LooplineError: the action would be refused.
        """

    def upload_model(self, version: str, model: Model) -> None:
        """Put the package of a version where the endpoint will look for it, unless it lies there.

        Raises:
            LooplineError: another package lies there, or the place cannot be used.
        """

    def record(self) -> Record | None:
        """The release under way, or the last one.

        Raises:
            LooplineError: it cannot be read.
        """

    def store(self, record: Record) -> None:
        """Store the next generation of the record.

        Raises:
            LooplineError: another process changed it in between, or it cannot be written; nothing was stored.
        """

    def apply(self, action: Action, record: Record) -> None:
        """Shift, promote or roll back, and return when that is in force; done twice, it changes nothing more.

        Raises:
            CanaryFailedError: the canary does not become ready.
            StaleActionError: the endpoint has seen a higher generation.
            LooplineError: it cannot be done.
        """

    def failure(self, record: Record) -> str | None:
        """Why the canary does not serve at all; None if it can, or if that cannot be seen from here.

        Raises:
            LooplineError: the endpoint cannot be reached.
        """


def expect_current(action: Action, endpoint: str, seen: int) -> None:
    """Refuse an action that comes too late.

    Args:
        action: what is to be carried out.
        endpoint: its name.
        seen: the highest generation that was carried out there.

    Raises:
        StaleActionError: that is above the action's.
    """
    if action.generation < seen:
        raise StaleActionError(
            f"'{action.kind}' is of generation {action.generation} of the release of {endpoint}, and {seen} was "
            "carried out: another process went on with it"
        )
