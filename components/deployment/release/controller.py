"""The controller of a release: begin it, then do what its record says is due, until it is over.

The controller keeps no state of its own. If it is killed at any moment, the next one continues from the record.
"""

import time
from collections.abc import Callable, Container
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from loopline.components.contract.spec import UseCaseSpec
from loopline.components.contract.window import Window
from loopline.components.deployment.analysis.analyse import Decision, RolloutStep, analyse
from loopline.components.deployment.analysis.baseline import from_rows as baseline_from_rows
from loopline.components.deployment.analysis.evidence import Evidence, from_rows
from loopline.components.deployment.release import transitions
from loopline.components.deployment.release.record import Record
from loopline.components.deployment.release.target import CanaryFailedError, StaleActionError, Target
from loopline.components.deployment.release.transitions import KINDS, LEASE, Action, Kind
from loopline.components.errors import LooplineError

# The baseline is taken from the stable version's requests in this time before the release.
BASELINE_WINDOW = timedelta(days=7)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class ReleaseController:
    """Releases versions at one endpoint.

    Attributes:
        target: the endpoint.
        spec: of its use case.
        read_log: returns the prediction log from a moment on, with the labels known so far.
        owner: of these releases; controllers with the same owner continue each other's releases.
        on_decision: called with every decision, also those to wait.
        overrides: keys of the release policy that the environment set, not the use case.
        pause: seconds between two analyses of a step.
        now: returns the current time.
        sleep: waits for so many seconds.
    """

    target: Target
    spec: UseCaseSpec
    read_log: Callable[[datetime], pa.Table]
    owner: str
    on_decision: Callable[[Decision], object]
    overrides: tuple[str, ...] = ()
    pause: float = 15.0
    now: Callable[[], datetime] = _now
    sleep: Callable[[float], None] = time.sleep

    def begin(self, version: str, check: Callable[[Record], object] = lambda _: None) -> Record:
        """Begin the release of a version, or return the one that is under way or was promoted.

        Args:
            version: to release.
            check: called with the record of a new release before it is stored; if it raises, nothing begins.

        Raises:
            LooplineError: another version is being released, someone else owns the release, or the stable version had
                too few requests for a baseline.
        """
        last = self.target.record()
        if last and last.canary == version and last.outcome is None:
            if last.owner == self.owner:
                return last
            taken = transitions.taken_over(last, self.owner, self.now())
            self.target.store(taken)
            return taken
        stable = self.target.traffic_split().stable
        if last and last.canary == version == stable and last.outcome == "promoted":
            return last
        transitions.expect_startable(self.spec.name, stable, version, last)
        now, policy, task = self.now(), self.spec.release, self.spec.task
        baseline = baseline_from_rows(self.read_log(now - BASELINE_WINDOW), policy, task, stable)
        record = transitions.begin(self.spec.name, stable, version, task, policy, baseline, self.owner, now, last)
        record = record.model_copy(update={"overrides": self.overrides})
        check(record)
        self.target.store(record)
        return record

    def reconcile(self, seconds: float | None = None, only: Container[Kind] = KINDS) -> Record:
        """Do what is due until the release is over, an action is due that is not in ``only``, or the time is up.

        Args:
            seconds: to wait for evidence at most; a step is analysed at least once. None for no limit.
            only: kinds of action to take.

        Returns:
            the record; its outcome is None unless the release is over.

        Raises:
            LooplineError: the endpoint cannot be reached, or someone else took the release over.
        """
        end = None if seconds is None else self.now() + timedelta(seconds=seconds)
        blind_since: datetime | None = None
        while True:
            record = self._record()
            action = transitions.next_action(record)
            if action.kind == "nothing" or action.kind not in only:
                return record
            if record.owner != self.owner:
                raise LooplineError(
                    f"the release of {self.spec.name} to version {record.canary} belongs to {record.owner} now, who "
                    "took it over after its lease had run out"
                )
            if action.kind == "analyse" and action.step:
                evidence = self._evidence(record, action.step)
                blind_since = None if evidence else blind_since or self.now()
                if not self._decide(record, action.step, evidence, blind_since):
                    if end and self.now() >= end:
                        return self._record()
                    self.sleep(self.pause)
            else:
                self._apply(record, action)

    def _record(self) -> Record:
        record = self.target.record()
        if record is None:
            raise LooplineError(f"the record of {self.spec.name}'s release was deleted: begin the release again")
        return record

    def _apply(self, record: Record, action: Action) -> None:
        """Apply an action and record it; if the canary does not start, the release is stopped."""
        try:
            self.target.apply(action, record)
        except CanaryFailedError as error:
            self._store(transitions.stopped(record, str(error), self.owner, self.now()))
            return
        except StaleActionError:
            if self._record().generation == record.generation:
                raise
            return
        self._store(transitions.applied(record, action, self.owner, self.now()))

    def _decide(
        self, record: Record, step: RolloutStep, evidence: Evidence | None, blind_since: datetime | None
    ) -> bool:
        """Analyse a step and record the decision; returns False if that is to wait."""
        failure, now = self.target.failure(record), self.now()
        decision = analyse(record.policy, record.baseline, step, evidence, now, failure, blind_since)
        self.on_decision(decision)
        if decision.outcome != "wait" or record.lease - now < LEASE / 2:
            self._store(transitions.decided(record, decision, self.owner, now))
        return decision.outcome != "wait"

    def _evidence(self, record: Record, step: RolloutStep) -> Evidence | None:
        """Counts of both versions since the step began; None if the log cannot be read."""
        try:
            rows = self.read_log(step.started)
        except LooplineError:
            return None
        period = Window(step.started, max(self.now(), step.started + timedelta(microseconds=1)))
        return from_rows(rows, record.baseline, record.task, period, record.canary, record.stable)

    def _store(self, record: Record) -> None:
        """Store a record, unless another process stored one meanwhile, for example to stop the release.

        Raises:
            LooplineError: it cannot be stored.
        """
        try:
            self.target.store(record)
        except LooplineError:
            if self._record().generation < record.generation:
                raise
