"""The state machine of a release: pure functions from a record to the next action, and from an event to a new record.

The record is all the state there is, so a release whose process was killed continues from its record. A decision is
recorded before it is applied, and an applied action after that. If a process is killed in between, the same action is
due again; shifting, promoting and rolling back can be repeated without harm.

Two releases of one endpoint cannot interleave. There is one record per endpoint. It names its owner, and others may
take it over only after its lease has run out. Every change has the next generation, and is stored only over the
generation that it was made from (compare and swap). An action carries the generation too: a target keeps the highest
generation that it has applied next to the weights, and refuses a lower one (a fencing token). So a process that
resumes after its lease has run out changes nothing.
"""

from datetime import datetime, timedelta
from typing import Literal, get_args

from loopline.components.contract.release import ReleasePolicy
from loopline.components.contract.spec import Task
from loopline.components.deployment.analysis.analyse import Decision, RolloutStep
from loopline.components.deployment.analysis.baseline import Baseline
from loopline.components.deployment.release.record import Decided, Ended, Event, Record, Shifted, Stopped
from loopline.components.errors import LooplineError
from loopline.components.io.strict import Strict

Kind = Literal["shift", "analyse", "promote", "roll back", "nothing"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# For how long after its last change nobody else may take over a release.
LEASE = timedelta(minutes=10)


class Action(Strict):
    """The next thing to do in a release.

    Attributes:
        kind: shift: give the canary ``percent`` of the traffic. analyse: decide on ``step``. promote: make the canary
            the stable version. roll back: give all traffic to the stable version and remove the canary. nothing: the
            release is over.
        generation: of the record that the action is derived from.
    """

    kind: Kind
    generation: int
    percent: int = 0
    step: RolloutStep | None = None


def begin(
    endpoint: str,
    stable: str,
    canary: str,
    task: Task,
    policy: ReleasePolicy,
    baseline: Baseline,
    owner: str,
    now: datetime,
    last: Record | None = None,
) -> Record:
    """The record of a new release.

    Args:
        endpoint: name of the endpoint.
        stable: version that has all the traffic.
        canary: version to release.
        task: of the use case.
        policy: section ``release`` of the use case.
        baseline: taken from the stable version's requests.
        owner: of the release.
        now: the current time.
        last: record of the endpoint's last release, if there was one.

    Raises:
        LooplineError: it cannot begin.
    """
    expect_startable(endpoint, stable, canary, last)
    return Record(
        endpoint=endpoint,
        stable=stable,
        canary=canary,
        task=task,
        owner=owner,
        lease=now + LEASE,
        generation=last.generation + 1 if last else 1,
        began=now,
        policy=policy,
        baseline=baseline,
    )


def expect_startable(endpoint: str, stable: str, canary: str, last: Record | None) -> None:
    """Refuse a release that cannot begin.

    Raises:
        LooplineError: the last release is not over, or the canary is the stable.
    """
    if last and last.outcome is None:
        raise LooplineError(
            f"{endpoint} is being released to version {last.canary} by {last.owner}, generation {last.generation}: "
            "wait until it ends, or stop it"
        )
    if canary == stable:
        raise LooplineError(f"version {canary} is what {endpoint} serves already: there is nothing to release")


def next_action(record: Record) -> Action:
    """The action that is due; it stays the same until the record changes."""
    if not record.events:
        return _shift(record, 1)
    match record.events[-1]:
        case Shifted(step=step):
            return Action(kind="analyse", generation=record.generation, step=step, percent=step.percent)
        case Decided(decision=Decision(outcome="advance", step=step)):
            if step.number < len(record.policy.steps):
                return _shift(record, step.number + 1)
            return Action(kind="promote", generation=record.generation, percent=100)
        case Ended():
            return Action(kind="nothing", generation=record.generation)
        case _:
            return Action(kind="roll back", generation=record.generation)


def applied(record: Record, action: Action, owner: str, now: datetime) -> Record:
    """The record after an action was applied at the endpoint.

    Raises:
        LooplineError: another action is due, or someone else owns the release.
    """
    if action != next_action(record) or action.kind in {"analyse", "nothing"}:
        raise LooplineError(
            f"the release of {record.endpoint} is not waiting for '{action.kind}' of generation {action.generation}: "
            "another process continued it"
        )
    if action.kind == "shift":
        step = RolloutStep(number=_steps_taken(record) + 1, percent=action.percent, started=now)
        return _changed(record, Shifted(step=step), owner, now)
    outcome: Literal["promoted", "rolled back"] = "promoted" if action.kind == "promote" else "rolled back"
    return _changed(record, Ended(outcome=outcome, time=now), owner, now)


def decided(record: Record, decision: Decision, owner: str, now: datetime) -> Record:
    """The record after an analysis: with the decision, or with only a new lease if the decision is to wait.

    Raises:
        LooplineError: the step is decided already or has not begun, or someone else owns the release.
    """
    due = next_action(record)
    if due.kind != "analyse" or due.step != decision.step:
        raise LooplineError(
            f"step {decision.step.number} of the release of {record.endpoint} is decided already or not under way; "
            f"due is '{due.kind}'"
        )
    event = None if decision.outcome == "wait" else Decided(decision=decision)
    return _changed(record, event, owner, now)


def stopped(record: Record, reason: str, by: str, now: datetime) -> Record:
    """The record of a release that someone stopped; it is rolled back whatever the evidence.

    Anyone may stop a release. The owner's next change is then refused, since the generation has changed; the owner
    reads the record again and rolls back.

    Raises:
        LooplineError: the release is over.
    """
    if record.outcome:
        raise LooplineError(f"the release of {record.endpoint} to version {record.canary} is over: {record.outcome}")
    event = Stopped(by=by, reason=reason, time=now)
    return record.model_copy(update={"events": (*record.events, event), "generation": record.generation + 1})


def taken_over(record: Record, owner: str, now: datetime) -> Record:
    """The record with another owner, who continues the release.

    Raises:
        LooplineError: the current owner's lease has not run out.
    """
    if owner != record.owner and now < record.lease:
        raise LooplineError(
            f"the release of {record.endpoint} belongs to {record.owner} until {record.lease:%Y-%m-%d %H:%M:%S} UTC: "
            "wait until then, or ask them to stop it"
        )
    return record.model_copy(update={"owner": owner, "lease": now + LEASE, "generation": record.generation + 1})


def _changed(record: Record, event: Event | None, owner: str, now: datetime) -> Record:
    if owner != record.owner:
        raise LooplineError(
            f"the release of {record.endpoint} belongs to {record.owner}, not to {owner}: take it over after its lease "
            f"has run out, at {record.lease:%Y-%m-%d %H:%M:%S} UTC"
        )
    events = (*record.events, event) if event else record.events
    return record.model_copy(update={"events": events, "lease": now + LEASE, "generation": record.generation + 1})


def _shift(record: Record, number: int) -> Action:
    return Action(kind="shift", generation=record.generation, percent=record.policy.steps[number - 1])


def _steps_taken(record: Record) -> int:
    return sum(isinstance(event, Shifted) for event in record.events)
