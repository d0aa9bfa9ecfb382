"""What a step of the release DAG works with: the use case, the target and the controller that its plan names."""

from dataclasses import dataclass, field
from functools import cached_property

from loopline.components.contract.environment_policy import UNCHANGED, EnvironmentPolicy
from loopline.components.contract.usecase import UseCase, load
from loopline.components.deployment.analysis.prediction_log_reader import PredictionLogReader
from loopline.components.deployment.release.controller import ReleaseController
from loopline.components.deployment.release.decision_printer import DecisionPrinter
from loopline.components.deployment.release.plan import Plan
from loopline.components.deployment.release.target import Target
from loopline.components.deployment.targets.connect import connect

# Seconds between two analyses: on this machine, where the log is written every second, and elsewhere.
LOCAL_PAUSE, PAUSE = 1.0, 15.0


@dataclass(frozen=True)
class StepContext:
    """What one step works with.

    Attributes:
        plan: of the run.
        policy: the environment's changes to the use case's policy; a release keeps the policy that it began with.
        printer: prints the decisions.
    """

    plan: Plan
    policy: EnvironmentPolicy = UNCHANGED
    printer: DecisionPrinter = field(default_factory=DecisionPrinter)

    @cached_property
    def case(self) -> UseCase:
        """The use case."""
        return load(self.plan.usecase)

    @cached_property
    def target(self) -> Target:
        """The endpoint under release."""
        return connect(self.plan, self.case.spec.name)

    @cached_property
    def controller(self) -> ReleaseController:
        """Releases at the target."""
        return ReleaseController(
            target=self.target,
            spec=self.policy.applied_to(self.case.spec),
            overrides=self.policy.release_keys(),
            read_log=PredictionLogReader(self.case, self.plan.log).since,
            owner=self.plan.owner,
            on_decision=self.printer.on_decision,
            pause=LOCAL_PAUSE if self.plan.target == "local" else PAUSE,
        )
