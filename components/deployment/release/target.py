"""The target of a release: an endpoint whose traffic can be shifted, and the store of the release's record."""

from contextlib import AbstractContextManager
from typing import Any, Protocol

from loopline.components.contract.model import Model
from loopline.components.deployment.release.record import Record
from loopline.components.deployment.release.traffic_split import TrafficSplit
from loopline.components.deployment.release.transitions import Action
from loopline.components.errors import LooplineError


class CanaryFailedError(LooplineError):
    """The canary does not become ready; the release is rolled back."""


class StaleActionError(LooplineError):
    """An action of a higher generation was applied: another process continued the release."""


class Target(Protocol):
    """An endpoint under release.

    A record is stored only over the generation that it was made from, and an action is applied only if none of a
    higher generation was. So two releases cannot interleave, and a process whose lease has run out changes nothing.
    """

    def locked(self) -> AbstractContextManager[None]:
        """Keep other processes on this machine from releasing at the target.

        Raises:
            LooplineError: another process releases, or the target is not in a state to release at.
        """

    def traffic_split(self) -> TrafficSplit:
        """The versions that the endpoint is to serve, and the canary's share.

        Raises:
            LooplineError: there is no such endpoint, or it cannot be reached.
        """

    def service(self) -> dict[str, Any]:
        """The desired InferenceService.

        Raises:
            LooplineError: there is no such endpoint, or it cannot be reached.
        """

    def rendered(self, action: Action, record: Record) -> dict[str, Any]:
        """The InferenceService after an action; nothing is changed.

        Raises:
            LooplineError: the action would be refused.
        """

    def upload_model(self, version: str, model: Model) -> None:
        """Upload the package of a version to where the endpoint fetches it from, unless it is there already.

        Raises:
            LooplineError: another model is there, or it cannot be written.
        """

    def record(self) -> Record | None:
        """The record of the current or last release; None before the first.

        Raises:
            LooplineError: it cannot be read.
        """

    def store(self, record: Record) -> None:
        """Store the next generation of the record.

        Raises:
            LooplineError: another process changed it meanwhile, or it cannot be written; nothing was stored.
        """

    def apply(self, action: Action, record: Record) -> None:
        """Shift, promote or roll back, and return once that is in force. Applying an action twice is harmless.

        Raises:
            CanaryFailedError: the canary does not become ready.
            StaleActionError: an action of a higher generation was applied.
            LooplineError: it cannot be done.
        """

    def failure(self, record: Record) -> str | None:
        """Why the canary cannot serve at all; None if it can, or if the target cannot tell.

        Raises:
            LooplineError: the endpoint cannot be reached.
        """


def expect_current(action: Action, endpoint: str, applied: int) -> None:
    """Refuse an action of an older generation than the last one that was applied (a fencing token).

    Args:
        action: to apply.
        endpoint: its name.
        applied: the highest generation that was applied at the endpoint.

    Raises:
        StaleActionError: the action is older.
    """
    if action.generation < applied:
        raise StaleActionError(
            f"'{action.kind}' is of generation {action.generation} of the release of {endpoint}, and {applied} was "
            "carried out: another process continued it"
        )
