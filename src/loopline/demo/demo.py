"""The steps of the demo: releases at an endpoint that gets traffic."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from loopline.components.contract.usecase import UseCase
from loopline.components.deployment.analysis.prediction_log_reader import PredictionLogReader
from loopline.components.deployment.release import transitions
from loopline.components.deployment.release.controller import BASELINE_WINDOW, ReleaseController
from loopline.components.deployment.release.record import Record, Stopped
from loopline.components.deployment.targets.local import LocalTarget
from loopline.components.errors import LooplineError
from loopline.demo.degraded import DEGRADED, WHAT, degrade
from loopline.demo.endpoint import install_model
from loopline.demo.step import DemoStep, PackagedVersion
from loopline.demo.traffic import DemoTraffic
from loopline.local.endpoint.endpoint import Endpoint
from loopline.local.workspace import Workspace

OWNER = "loopline loop"
# Seconds between two analyses, between two checks of the traffic, and for one demo step at most.
PAUSE, SLICE_SECONDS, STEP_SECONDS = 0.5, 5.0, 300.0
# Requests of the stable version before the first release.
BASELINE_REQUESTS = 400
OUT_OF_TIME = "there was no more traffic, or no more time for it, in the loop"


@dataclass(frozen=True)
class Demo:
    """What the demo steps need.

    Attributes:
        workspace: has the state of the endpoint.
        case: the use case.
        announce: called with a sentence before and after each step.
        endpoint: where versions are released.
        controller: releases them there.
        traffic: requests to the endpoint.
    """

    workspace: Workspace
    case: UseCase
    announce: Callable[[str], None]
    endpoint: Endpoint
    controller: ReleaseController
    traffic: DemoTraffic

    def run(self, champion: PackagedVersion, challenger: PackagedVersion | None) -> list[DemoStep]:
        """Release the challenger, if there is one, then a degraded copy of the version that serves after that.

        If the challenger is rolled back on evidence, the former champion becomes champion again.

        Raises:
            LooplineError: the traffic ends before the first release, or the endpoint stops during one.
        """
        self._stop_abandoned_release()
        self._wait_for_baseline()
        steps, serving = [], champion
        if challenger:
            steps.append(self._release(challenger, f"version {challenger.number}, trained on newer data"))
            if steps[0].record.outcome == "promoted":
                serving = challenger
            elif steps[0].record.reason != OUT_OF_TIME:
                self._restore_champion(challenger, champion)
        if self.traffic.running:
            bad = DEGRADED + serving.number
            model = degrade(serving.model, self.case.spec.task, self.endpoint.state_dir.model(bad))
            what = f"version {serving.number}, deliberately made worse: {WHAT[self.case.spec.task]}"
            steps.append(self._release(PackagedVersion(bad, model), what))
        return steps

    def _release(self, version: PackagedVersion, what: str) -> DemoStep:
        """Release a version; one that is not decided in time is rolled back."""
        self.announce(f"release: {what}")
        answered, failed = self.traffic.answered, self.traffic.failed
        install_model(version, self.endpoint)
        record, deadline = self.controller.begin(str(version.number)), time.monotonic() + STEP_SECONDS
        while record.outcome is None and self.traffic.running and time.monotonic() < deadline:
            record = self.controller.reconcile(SLICE_SECONDS)
        if record.outcome is None:
            record = self._stop(record, OUT_OF_TIME)
        self.announce(f"{record.outcome}: {record.reason}")
        return DemoStep(
            canary=what,
            record=record,
            answered=self.traffic.answered - answered,
            failed=self.traffic.failed - failed,
        )

    def _stop_abandoned_release(self) -> None:
        """End the release of a loop that was killed: its canary no longer runs."""
        record = self.controller.target.record()
        if record and record.outcome is None and record.owner == OWNER:
            self._stop(record, "the loop that released it was killed")

    def _wait_for_baseline(self) -> None:
        """Wait until the stable version has answered enough requests to take a baseline from.

        Raises:
            LooplineError: the traffic ends before that.
        """
        while self.controller.read_log(self.controller.now() - BASELINE_WINDOW).num_rows < BASELINE_REQUESTS:
            if not self.traffic.running:
                raise LooplineError(f"the endpoint answered fewer than {BASELINE_REQUESTS} requests in all")
            time.sleep(PAUSE)

    def _stop(self, record: Record, reason: str) -> Record:
        """Roll a release back whatever the evidence."""
        self.controller.target.store(transitions.stopped(record, reason, OWNER, self.controller.now()))
        return self.controller.reconcile()

    def _restore_champion(self, challenger: PackagedVersion, champion: PackagedVersion) -> None:
        from loopline.components.registry.rollback import restore_champion

        restore_champion(self.case.spec.name, self.workspace.registry, challenger.number, champion.number)


def was_stopped(step: DemoStep) -> bool:
    """Whether the release ended without evidence: out of time or traffic, or the canary did not start."""
    return any(isinstance(event, Stopped) for event in step.record.events)


def release_controller(case: UseCase, endpoint: Endpoint) -> ReleaseController:
    """A controller for an endpoint of the demo that only reads requests answered from now on."""
    log, began = PredictionLogReader(case, str(endpoint.state_dir.prediction_log)), datetime.now(UTC)
    return ReleaseController(
        target=LocalTarget(endpoint),
        spec=case.spec,
        read_log=lambda since: log.since(max(since, began)),
        owner=OWNER,
        on_decision=lambda _: None,
        pause=PAUSE,
    )
