"""How a release goes on: pure functions from its record to what is due next, and from what happened to its record.

All that a release is can be told from its record, so one that was killed goes on from there. A decision is recorded
before it is carried out, and what was carried out is recorded after that. Between the two a process may be killed: the
same action is then due again, and setting a weight, promoting and rolling back are done twice without harm.

Two releases of one endpoint cannot interleave. There is one record per endpoint. It names its owner, and another may
take it over only once its lease has run out. Every change carries the next generation, and is stored only over the
generation that it was made from (compare and swap). An action names the generation as well: whoever carries it out
keeps, beside the weight it sets, the highest generation it has seen and refuses a lower one, so that a process that
slept through its lease changes nothing (a fencing token).
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
# How long a release that is not heard of keeps others away.
LEASE = timedelta(minutes=10)


class Action(Strict):
    """What is to be done next.

    Attributes:
        kind: shift: give the canary ``percent`` of the traffic. analyse: decide on ``step``. promote: make the canary
            the stable. roll back: give all traffic to the stable and remove the canary. nothing: the release is over.
        generation: of the record that says so; a target that has seen a higher one refuses.
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
    """A new release.

    Args:
        endpoint: its name.
        stable: version that has all the traffic.
        canary: version to be released.
        task: of the use case.
        policy: its section ``release``.
        baseline: what the stable showed before.
        owner: who carries it out.
        now: the present moment.
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
            "wait for its end, or stop it"
        )
    if canary == stable:
        raise LooplineError(f"version {canary} is what {endpoint} serves already: there is nothing to release")


def next_action(record: Record) -> Action:
    """What is to be done next; the same, however often it is asked, until the record changes."""
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
    """The record after an action on the endpoint was carried out.

    Raises:
        LooplineError: the action is not the one that is due, or the release is another's.
    """
    if action != next_action(record) or action.kind in {"analyse", "nothing"}:
        raise LooplineError(
            f"the release of {record.endpoint} did not wait for '{action.kind}' of generation {action.generation}: "
            "another process went on with it"
        )
    if action.kind == "shift":
        step = RolloutStep(number=_steps_taken(record) + 1, percent=action.percent, started=now)
        return _changed(record, Shifted(step=step), owner, now)
    outcome: Literal["promoted", "rolled back"] = "promoted" if action.kind == "promote" else "rolled back"
    return _changed(record, Ended(outcome=outcome, time=now), owner, now)


def decided(record: Record, decision: Decision, owner: str, now: datetime) -> Record:
    """The record after an analysis: with its decision, or, where that is to wait, with a longer lease only.

    Raises:
        LooplineError: the step is decided already or not under way, or the release is another's.
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
    """The record of a release that is to be rolled back whatever the evidence, because somebody says so.

    Anybody may: the owner's next change is then one to a former generation, so it reads again and rolls back.

    Raises:
        LooplineError: it is over.
    """
    if record.outcome:
        raise LooplineError(f"the release of {record.endpoint} to version {record.canary} is over: {record.outcome}")
    event = Stopped(by=by, reason=reason, time=now)
    return record.model_copy(update={"events": (*record.events, event), "generation": record.generation + 1})


def taken_over(record: Record, owner: str, now: datetime) -> Record:
    """The record in the hands of another owner, who goes on where the former one stopped.

    Raises:
        LooplineError: the lease of the owner has not run out.
    """
    if owner != record.owner and now < record.lease:
        raise LooplineError(
            f"the release of {record.endpoint} belongs to {record.owner} until {record.lease:%Y-%m-%d %H:%M:%S} UTC: "
            "wait until then, or let them stop it"
        )
    return record.model_copy(update={"owner": owner, "lease": now + LEASE, "generation": record.generation + 1})


def _changed(record: Record, event: Event | None, owner: str, now: datetime) -> Record:
    if owner != record.owner:
        raise LooplineError(
            f"the release of {record.endpoint} belongs to {record.owner}, not to {owner}: take it over once its lease "
            f"has run out, at {record.lease:%Y-%m-%d %H:%M:%S} UTC"
        )
    events = (*record.events, event) if event else record.events
    return record.model_copy(update={"events": events, "lease": now + LEASE, "generation": record.generation + 1})


def _shift(record: Record, number: int) -> Action:
    return Action(kind="shift", generation=record.generation, percent=record.policy.steps[number - 1])


def _steps_taken(record: Record) -> int:
    return sum(isinstance(event, Shifted) for event in record.events)
