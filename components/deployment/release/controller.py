"""Carry a release out: begin it, then do what its record says is due, until it is over.

Nothing of it is kept in this process: killed at any moment, it is gone on with by calling the same again.
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

# How far back the stable's requests tell what is usual.
BASELINE_WINDOW = timedelta(days=7)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class ReleaseController:
    """Whoever carries releases of an endpoint out.

    Attributes:
        target: the endpoint.
        spec: of its use case.
        seen: the prediction log from a moment on, with labels as far as they are known.
        owner: whose releases these are; two who call themselves alike go on with each other's.
        on_decision: called with each decision, also to wait.
        overrides: keys of the release policy that the environment set, and not the use case.
        pause: seconds between two looks at a step.
        now: the present moment. ``sleep``: waits so many seconds.
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
        """Begin the release of a version; one that is under way is gone on with, one that was promoted is returned.

        Args:
            version: to be released.
            check: called with the record of a new release before it is stored; what it raises keeps it from beginning.

        Raises:
            LooplineError: another version is being released, the release is another's, or the stable version had too
                few requests to tell what is usual.
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
        """Do what is due, until the release is over, something else is due, or so many seconds have passed.

        Args:
            seconds: how long to wait for evidence; it is looked at once in any case. None for as long as it takes.
            only: what is to be done here, if not all.

        Returns:
            the record, which has no outcome if the time was too short or something else is due.

        Raises:
            LooplineError: the endpoint cannot be reached, or the release is another's now.
        """
        end = None if seconds is None else self.now() + timedelta(seconds=seconds)
        blind: datetime | None = None
        while True:
            record = self._record()
            action = transitions.next_action(record)
            if action.kind == "nothing" or action.kind not in only:
                return record
            if record.owner != self.owner:
                raise LooplineError(
                    f"the release of {self.spec.name} to version {record.canary} belongs to {record.owner} now, who "
                    "took it over once it was not heard of: leave it to them"
                )
            if action.kind == "analyse" and action.step:
                evidence = self._evidence(record, action.step)
                blind = None if evidence else blind or self.now()
                if not self._decide(record, action.step, evidence, blind):
                    if end and self.now() >= end:
                        return self._record()
                    self.sleep(self.pause)
            else:
                self._act(record, action)

    def _record(self) -> Record:
        record = self.target.record()
        if record is None:
            raise LooplineError(f"the record of {self.spec.name}'s release is gone: begin anew")
        return record

    def _act(self, record: Record, action: Action) -> None:
        """Move the traffic, and record that; a canary that cannot be brought to serve ends the release."""
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

    def _decide(self, record: Record, step: RolloutStep, evidence: Evidence | None, blind: datetime | None) -> bool:
        """Decide on a step, and record that; whether it is decided."""
        failure, now = self.target.failure(record), self.now()
        decision = analyse(record.policy, record.baseline, step, evidence, now, failure, blind)
        self.on_decision(decision)
        if decision.outcome != "wait" or record.lease - now < LEASE / 2:
            self._store(transitions.decided(record, decision, self.owner, now))
        return decision.outcome != "wait"

    def _evidence(self, record: Record, step: RolloutStep) -> Evidence | None:
        """What both sides showed in a step so far; None if the log cannot be read."""
        try:
            rows = self.read_log(step.started)
        except LooplineError:
            return None
        period = Window(step.started, max(self.now(), step.started + timedelta(microseconds=1)))
        return from_rows(rows, record.baseline, record.task, period, record.canary, record.stable)

    def _store(self, record: Record) -> None:
        """Store a change; where somebody was faster, such as one who stopped it, what is due is read again.

        Raises:
            LooplineError: it cannot be stored.
        """
        try:
            self.target.store(record)
        except LooplineError:
            if self._record().generation < record.generation:
                raise
