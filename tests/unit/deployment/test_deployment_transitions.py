"""The state machine of a release: one order of events, killed anywhere, owned by one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopline.components.deployment.release import transitions as states
from loopline.components.deployment.release.markdown import record_markdown
from loopline.components.deployment.release.record import Ended, Record
from loopline.components.deployment.release.transitions import Action, next_action
from loopline.components.errors import LooplineError
from tests.canary_traffic import BEGIN, STABLE
from tests.unit.deployment.records import MINUTE, OWNER, applied, begun, decided, decision, lived


def test_a_release_goes_step_by_step_to_promotion():
    record, seen = begun(), []
    while (action := next_action(record)).kind != "nothing":
        seen.append((action.kind, action.percent))
        record = decided(record, "advance") if action.kind == "analyse" else applied(record)
    assert seen == [("shift", 5), ("analyse", 5), ("shift", 50), ("analyse", 50), ("promote", 100)]
    assert record.outcome == "promoted"
    assert [event.kind for event in record.events] == ["shifted", "decided", "shifted", "decided", "ended"]


@pytest.mark.parametrize("outcomes", [["roll back"], ["advance", "roll back"]])
def test_a_decision_to_roll_back_ends_it(outcomes):
    record = lived(*outcomes)
    assert next_action(record).kind == "roll back"
    record = applied(record)
    assert (record.outcome, next_action(record).kind) == ("rolled back", "nothing")


def test_waiting_renews_the_lease_and_is_no_event():
    record = applied(begun())
    waited = states.decided(record, decision(record, "wait"), OWNER, BEGIN + 5 * MINUTE)
    assert waited.events == record.events
    assert waited.lease == BEGIN + 5 * MINUTE + states.LEASE
    assert waited.generation == record.generation + 1
    assert next_action(waited).step == next_action(record).step


def test_a_step_is_not_decided_twice():
    record = applied(begun())
    once = decision(record, "advance")
    after = states.decided(record, once, OWNER, BEGIN)
    with pytest.raises(LooplineError, match=r"step 1 .* is decided already or not under way; due is 'shift'"):
        states.decided(after, once, OWNER, BEGIN)
    with pytest.raises(LooplineError, match=r"step 1 .* is decided already"):
        states.decided(applied(after), once, OWNER, BEGIN)


def test_only_what_is_due_can_be_carried_out():
    record = begun()
    for wrong in (
        Action(kind="promote", generation=1, percent=100),
        Action(kind="shift", generation=1, percent=50),
        next_action(record).model_copy(update={"generation": 0}),
    ):
        with pytest.raises(LooplineError, match="is not waiting for"):
            states.applied(record, wrong, OWNER, BEGIN)
    shifted = applied(record)
    with pytest.raises(LooplineError, match="is not waiting for 'analyse'"):
        states.applied(shifted, next_action(shifted), OWNER, BEGIN)


@pytest.mark.parametrize("outcomes", [[], ["advance"], ["advance", "advance"]])
def test_a_person_can_stop_it_anywhere_before_its_end(outcomes):
    record = states.stopped(lived(*outcomes), "complaints by telephone", "the airline", BEGIN)
    assert next_action(record).kind == "roll back"
    record = applied(record)
    assert record.outcome == "rolled back"
    with pytest.raises(LooplineError, match="is over: rolled back"):
        states.stopped(record, "again", OWNER, BEGIN)
    assert "## Stopped by the airline\n\nComplaints by telephone." in record_markdown(record)


def test_two_releases_of_one_endpoint_do_not_begin():
    with pytest.raises(LooplineError, match="flights is being released to version 8 by run-1, generation 1"):
        begun("run-2", "9", last=begun())


def test_a_version_is_not_released_over_itself():
    with pytest.raises(LooplineError, match="version 7 is what flights serves already"):
        begun(canary=STABLE)


def test_another_takes_over_only_once_the_lease_has_run_out():
    record = applied(begun())
    with pytest.raises(LooplineError, match="belongs to run-1 until 2013-07-01 00:11:00 UTC"):
        states.taken_over(record, "run-2", record.lease - MINUTE)
    taken = states.taken_over(record, "run-2", record.lease)
    assert (taken.owner, taken.events) == ("run-2", record.events)
    with pytest.raises(LooplineError, match="belongs to run-2, not to run-1"):
        states.decided(taken, decision(record, "advance"), OWNER, BEGIN)
    assert states.taken_over(record, OWNER, BEGIN).generation == record.generation + 1  # the same run, started again


def test_an_action_of_a_sleeper_is_older_than_what_its_successor_did():
    record = applied(begun())
    slept_over = next_action(lived("advance"))
    taken = states.taken_over(record, "run-2", record.lease)
    stopped = states.stopped(taken, "no", "run-2", record.lease)
    assert slept_over.generation <= next_action(stopped).generation - 1
    with pytest.raises(LooplineError, match="is not waiting for 'shift'"):
        states.applied(stopped, slept_over, "run-2", BEGIN)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["advance", "wait", "roll back", "stop", "kill", "take over"]), max_size=12))
def test_whatever_happens_in_whatever_order_the_record_only_grows(happenings):
    """A kill forgets all but what was stored; an action may have been carried out without being recorded."""
    record, owner, now, weights = begun(), OWNER, BEGIN, []
    for happening in happenings:
        before, now = record, now + MINUTE
        action = next_action(record)
        if action.kind == "nothing":
            break
        if happening == "kill":
            record = Record.model_validate_json(record.model_dump_json())
            weights += [action.percent] if action.kind == "shift" else []  # done, not recorded: done again
        elif happening == "take over":
            owner, now = f"{owner}'", record.lease
            record = states.taken_over(record, owner, now)
        elif happening == "stop":
            record = states.stopped(record, "enough", owner, now)
        elif action.kind == "analyse":
            record = states.decided(record, decision(record, happening), owner, now)
        else:
            weights += [action.percent] if action.kind == "shift" else []
            record = states.applied(record, action, owner, now)
        assert record.events[: len(before.events)] == before.events
        assert record.generation == before.generation + (happening != "kill")
    assert weights == sorted(weights)  # the canary's share never falls but by rolling back
    decisions = [event.decision.step.number for event in record.events if event.kind == "decided"]
    assert decisions == sorted(set(decisions))
    assert sum(isinstance(event, Ended) for event in record.events) <= 1
    assert record_markdown(record)
