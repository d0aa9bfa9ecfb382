"""The record of a release: what was planned, every decision and what was carried out, in order, appended only."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from loopline.components.contract.release import RECORD_FORMAT, ReleasePolicy
from loopline.components.contract.spec import Task
from loopline.components.deployment.analysis.analyse import Decision, RolloutStep
from loopline.components.deployment.analysis.baseline import Baseline
from loopline.components.errors import LooplineError
from loopline.components.io.strict import Strict


class Shifted(Strict):
    """The canary was given its share of a step."""

    kind: Literal["shifted"] = "shifted"
    step: RolloutStep


class Decided(Strict):
    """A step was decided; waiting is no decision."""

    kind: Literal["decided"] = "decided"
    decision: Decision


class Stopped(Strict):
    """Somebody, the owner or not, ended the release before its time."""

    kind: Literal["stopped"] = "stopped"
    by: str
    reason: str
    time: AwareDatetime


class Ended(Strict):
    """The canary was made the stable, or all traffic given back to the stable."""

    kind: Literal["ended"] = "ended"
    outcome: Literal["promoted", "rolled back"]
    time: AwareDatetime


Event = Annotated[Shifted | Decided | Stopped | Ended, Field(discriminator="kind")]


class Record(Strict):
    """One release of one endpoint.

    Attributes:
        endpoint: its name.
        stable: version that had all the traffic. ``canary``: version to be released.
        owner: who may change the record, such as the id of a run. ``lease``: until when nobody else may take it over.
        generation: counts the changes to the record, over all releases of the endpoint.
        policy: under which it runs, as it was when the release began.
        overrides: keys of the policy that the environment's policy.yaml set; the rest is the use case's.
        baseline: what the stable showed before.
        events: what happened, in order.
    """

    format: Literal["loopline.release/1"] = RECORD_FORMAT
    endpoint: str
    stable: str
    canary: str
    task: Task
    owner: str
    lease: AwareDatetime
    generation: int = Field(ge=1)
    began: AwareDatetime
    policy: ReleasePolicy
    overrides: tuple[str, ...] = ()
    baseline: Baseline
    events: tuple[Event, ...] = ()

    @property
    def outcome(self) -> Literal["promoted", "rolled back"] | None:
        """How it ended; None while it is under way."""
        last = self.events[-1] if self.events else None
        return last.outcome if isinstance(last, Ended) else None

    @property
    def reason(self) -> str:
        """Why it went on or back last: the reason of the last decision, or of whoever stopped it."""
        for event in reversed(self.events):
            if isinstance(event, Decided):
                return event.decision.reason
            if isinstance(event, Stopped):
                return event.reason
        return ""


def expect_next(record: Record, stored: Record | None) -> None:
    """Refuse to store a record that was not made from the one that is stored (compare and swap).

    Raises:
        LooplineError: the stored record has another generation.
    """
    generation = stored.generation if stored else 0
    if record.generation != generation + 1:
        raise LooplineError(
            f"the release of {record.endpoint} was changed by another process (it is at generation {generation}): read "
            "it again"
        )
