"""A release as one step of the release DAG sees it: its use case, its target, and whoever carries it out."""

from dataclasses import dataclass
from functools import cached_property

from loopline.components.contract.environment_policy import UNCHANGED, EnvironmentPolicy
from loopline.components.contract.usecase import UseCase, load
from loopline.components.deployment.analysis.prediction_log_reader import PredictionLogReader
from loopline.components.deployment.release.controller import ReleaseController
from loopline.components.deployment.release.decision_printer import DecisionPrinter
from loopline.components.deployment.release.plan import Plan
from loopline.components.deployment.release.target import Target
from loopline.components.deployment.targets.connect import connect

# Seconds between two looks at a step: here, where the log is written each second, and elsewhere.
LOCAL_PAUSE, PAUSE = 1.0, 15.0


@dataclass(frozen=True)
class StepContext:
    """A release as one step sees it.

    Attributes:
        plan: of the run.
        printer: says what is decided.
        policy: what the environment changes of the use case's; matters to a release that is begun, which keeps it.
    """

    plan: Plan
    printer: DecisionPrinter
    policy: EnvironmentPolicy = UNCHANGED

    @cached_property
    def case(self) -> UseCase:
        """The use case."""
        return load(self.plan.usecase)

    @cached_property
    def target(self) -> Target:
        """The endpoint."""
        return connect(self.plan, self.case.spec.name)

    @cached_property
    def controller(self) -> ReleaseController:
        """Whoever carries it out."""
        return ReleaseController(
            target=self.target,
            spec=self.policy.applied_to(self.case.spec),
            overrides=self.policy.release_keys(),
            read_log=PredictionLogReader(self.case, self.plan.log).since,
            owner=self.plan.owner,
            on_decision=self.printer.tell,
            pause=LOCAL_PAUSE if self.plan.target == "local" else PAUSE,
        )
