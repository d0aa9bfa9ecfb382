"""The releases at the end of a loop: made once for the same models, then shown from the saved result."""

from collections.abc import Callable
from dataclasses import dataclass

from loopline.components.contract.usecase import UseCase
from loopline.components.errors import LooplineError
from loopline.demo import saved
from loopline.demo.demo import Demo, release_controller, was_stopped
from loopline.demo.endpoint import served
from loopline.demo.step import DemoStep, PackagedVersion
from loopline.demo.traffic import DemoTraffic, events
from loopline.local.workspace import Workspace

FEWEST_EVENTS = 2_000


@dataclass(frozen=True)
class Releases:
    """The releases of a use case at the end of its loop.

    Attributes:
        workspace: has the state of the endpoint.
        case: the use case.
        announce: called with a sentence before and after each demo step.
        reuse: whether the result of an earlier loop may be shown.
    """

    workspace: Workspace
    case: UseCase
    announce: Callable[[str], None]
    reuse: bool = True

    def run(self, champion: PackagedVersion, challenger: PackagedVersion | None) -> list[DemoStep]:
        """Release the challenger, then a degraded copy of whichever version serves after that.

        Args:
            champion: serves at the beginning.
            challenger: None if it was not better than the champion.

        Returns:
            the demo steps; those of an earlier loop if it had the same models.

        Raises:
            LooplineError: there are too few events to replay, or the endpoint cannot be served here.
        """
        file = saved.path(self.workspace, self.case.spec, champion.model, challenger.model if challenger else None)
        if self.reuse and (steps := saved.read(file)) is not None:
            for step in steps:
                self.announce(f"release: {step.canary}: {step.record.outcome} by an earlier loop")
            return steps
        if (found := events(self.case)) < FEWEST_EVENTS:
            raise LooplineError(f"it has {found:,} events to ask about, and a release takes {FEWEST_EVENTS:,}")
        self.announce(f"serve version {champion.number}, and replay {self.case.spec.replay.compare[0]} onwards at it")
        with served(self.workspace, self.case, champion) as endpoint:
            controller = release_controller(self.case, endpoint)
            with controller.target.locked(), DemoTraffic(self.case, endpoint.wait_until_ready().port) as traffic:
                demo = Demo(self.workspace, self.case, self.announce, endpoint, controller, traffic)
                steps = demo.run(champion, challenger)
        if len(steps) == (2 if challenger else 1) and not any(was_stopped(step) for step in steps):
            saved.write(file, steps)
        return steps
