"""The acts as they are played: releases at an endpoint that is being asked."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from loopline.components.contract.usecase import UseCase
from loopline.components.deployment import transitions
from loopline.components.deployment.local_target import LocalTarget
from loopline.components.deployment.observed import Observed
from loopline.components.deployment.record import Record, Stopped
from loopline.components.deployment.roll_out import USUAL, RollOut
from loopline.components.errors import LooplineError
from loopline.demo.degraded import SPOILED, WHAT, spoil
from loopline.demo.endpoint import lay_down
from loopline.demo.step import Act, Version
from loopline.demo.traffic import Traffic
from loopline.local.endpoint.endpoint import Endpoint
from loopline.local.workspace import Workspace

OWNER = "loopline loop"
# Seconds: between two looks at a step, between two looks at the traffic, and for one act at most.
PAUSE, SLICE_SECONDS, ACT_SECONDS = 0.5, 5.0, 300.0
# Of the stable, before the first release.
USUAL_REQUESTS = 400
CUT = "there was no more traffic, or no more time for it, in the loop"


@dataclass(frozen=True)
class Play:
    """What the acts are played with.

    Attributes:
        workspace: where state lies.
        case: the use case.
        announce: called with a sentence before and after each act.
        endpoint: what is released at. ``releaser``: whoever releases there.
        traffic: those who ask.
    """

    workspace: Workspace
    case: UseCase
    announce: Callable[[str], None]
    endpoint: Endpoint
    releaser: RollOut
    traffic: Traffic

    def acts(self, champion: Version, challenger: Version | None) -> list[Act]:
        """Release the challenger, if there is one, then a copy of the winner that is deliberately bad.

        A champion that was rolled back in favour of the former one is champion no longer.

        Raises:
            LooplineError: the traffic ends before the first act, or the endpoint ends in the middle of one.
        """
        self._clear()
        self._wait_for_the_usual()
        acts, serving = [], champion
        if challenger:
            acts.append(self._act(challenger, f"version {challenger.number}, trained on newer data"))
            if acts[0].record.outcome == "promoted":
                serving = challenger
            elif acts[0].record.reason != CUT:
                self._give_back(challenger, champion)
        if self.traffic.goes_on:
            bad = SPOILED + serving.number
            model = spoil(serving.model, self.case.spec.task, self.endpoint.place.model(bad))
            what = f"version {serving.number}, deliberately made worse: {WHAT[self.case.spec.task]}"
            acts.append(self._act(Version(bad, model), what))
        return acts

    def _act(self, version: Version, what: str) -> Act:
        """One release, within its time."""
        self.announce(f"release: {what}")
        answered, failed = self.traffic.answered, self.traffic.failed
        lay_down(version, self.endpoint)
        record, end = self.releaser.begin(str(version.number)), time.monotonic() + ACT_SECONDS
        while record.outcome is None and self.traffic.goes_on and time.monotonic() < end:
            record = self.releaser.carry_on(SLICE_SECONDS)
        if record.outcome is None:
            record = self._stop(record, CUT)
        self.announce(f"{record.outcome}: {record.reason}")
        return Act(
            canary=what,
            record=record,
            answered=self.traffic.answered - answered,
            failed=self.traffic.failed - failed,
        )

    def _clear(self) -> None:
        """End the release of a loop that was killed in the middle of it: its canary is gone."""
        record = self.releaser.target.record()
        if record and record.outcome is None and record.owner == OWNER:
            self._stop(record, "the loop that released it was killed")

    def _wait_for_the_usual(self) -> None:
        """Let the stable version answer until it shows what is usual.

        Raises:
            LooplineError: the traffic ends before.
        """
        while self.releaser.seen(self.releaser.now() - USUAL).num_rows < USUAL_REQUESTS:
            if not self.traffic.goes_on:
                raise LooplineError(f"the endpoint answered fewer than {USUAL_REQUESTS} requests in all")
            time.sleep(PAUSE)

    def _stop(self, record: Record, reason: str) -> Record:
        """Roll a release back whatever was seen."""
        self.releaser.target.store(transitions.stopped(record, reason, OWNER, self.releaser.now()))
        return self.releaser.carry_on()

    def _give_back(self, challenger: Version, champion: Version) -> None:
        from loopline.components.registry.rollback import give_back

        give_back(self.case.spec.name, self.workspace.registry, challenger.number, champion.number)


def was_stopped(act: Act) -> bool:
    """Whether it ended for another reason than what was seen: time, traffic, or a canary that did not come up."""
    return any(isinstance(event, Stopped) for event in act.record.events)


def releaser(case: UseCase, endpoint: Endpoint) -> RollOut:
    """Whoever releases at an endpoint of the loop, seeing only what is answered from now on."""
    log, began = Observed(case, str(endpoint.place.prediction_log)), datetime.now(UTC)
    return RollOut(
        target=LocalTarget(endpoint),
        spec=case.spec,
        seen=lambda since: log.since(max(since, began)),
        owner=OWNER,
        told=lambda _: None,
        pause=PAUSE,
    )
