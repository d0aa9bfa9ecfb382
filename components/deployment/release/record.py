"""The record of a release: its policy and baseline, and an append-only list of decisions and applied actions."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from loopline.components.contract.release import RECORD_FORMAT, ReleasePolicy
from loopline.components.contract.spec import Task
from loopline.components.deployment.analysis.analyse import Decision, RolloutStep
from loopline.components.deployment.analysis.baseline import Baseline
from loopline.components.errors import LooplineError
from loopline.components.io.strict import Strict


class Shifted(Strict):
    """A step began: the canary got its share of the traffic."""

    kind: Literal["shifted"] = "shifted"
    step: RolloutStep


class Decided(Strict):
    """A step was decided; decisions to wait are not recorded."""

    kind: Literal["decided"] = "decided"
    decision: Decision


class Stopped(Strict):
    """The owner, or someone else, stopped the release early."""

    kind: Literal["stopped"] = "stopped"
    by: str
    reason: str
    time: AwareDatetime


class Ended(Strict):
    """The canary was promoted, or all traffic went back to the stable version."""

    kind: Literal["ended"] = "ended"
    outcome: Literal["promoted", "rolled back"]
    time: AwareDatetime


Event = Annotated[Shifted | Decided | Stopped | Ended, Field(discriminator="kind")]


class Record(Strict):
    """One release of one endpoint.

    Attributes:
        endpoint: name of the endpoint.
        stable: version that had all the traffic.
        canary: version that is released.
        owner: who may change the record, such as the id of a run.
        lease: until then, nobody else may take the release over.
        generation: number of changes to the record, over all releases of the endpoint.
        policy: of the release, fixed when it began.
        overrides: keys of the policy that the environment's policy.yaml set; the rest is the use case's.
        baseline: taken from the stable version's requests before the release.
        events: what happened, in order.
    """

    format: Literal["loopline.release/2"] = RECORD_FORMAT
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
        """How the release ended; None while it is under way."""
        last = self.events[-1] if self.events else None
        return last.outcome if isinstance(last, Ended) else None

    @property
    def reason(self) -> str:
        """The reason of the last decision, or for which the release was stopped."""
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
