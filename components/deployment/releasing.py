"""A release as one step of the release DAG sees it: its use case, its target, and whoever carries it out."""

from dataclasses import dataclass
from functools import cached_property

from loopline.components.contract.usecase import UseCase, load
from loopline.components.deployment.observed import Observed
from loopline.components.deployment.plan import Plan
from loopline.components.deployment.roll_out import RollOut
from loopline.components.deployment.target import Target
from loopline.components.deployment.targets import target_of
from loopline.components.deployment.teller import Teller

# Seconds between two looks at a step: here, where the log is written each second, and elsewhere.
LOCAL_PAUSE, PAUSE = 1.0, 15.0


@dataclass(frozen=True)
class Releasing:
    """A release as one step sees it.

    Attributes:
        plan: of the run.
        teller: says what is decided.
    """

    plan: Plan
    teller: Teller

    @cached_property
    def case(self) -> UseCase:
        """The use case."""
        return load(self.plan.usecase)

    @cached_property
    def target(self) -> Target:
        """The endpoint."""
        return target_of(self.plan, self.case.spec.name)

    @cached_property
    def releaser(self) -> RollOut:
        """Whoever carries it out."""
        return RollOut(
            target=self.target,
            spec=self.case.spec,
            seen=Observed(self.case, self.plan.log).since,
            owner=self.plan.owner,
            told=self.teller.tell,
            pause=LOCAL_PAUSE if self.plan.target == "local" else PAUSE,
        )
