"""The record of a release: one order of things, killed anywhere, owned by one, stored by compare and swap."""

import json
import os
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopline.components.contract.release import ReleasePolicy
from loopline.components.deployment.analysis.analyse import Decision
from loopline.components.deployment.release import transitions as states
from loopline.components.deployment.release.markdown import record_markdown
from loopline.components.deployment.release.record import Ended, Record
from loopline.components.deployment.release.record_file import RecordFile
from loopline.components.deployment.release.transitions import Action, next_action
from loopline.components.errors import LooplineError
from tests.canary_traffic import BEGIN, CANARY, STABLE, baseline_of

POLICY = ReleasePolicy(steps=(5, 50))
OWNER = "run-1"
MINUTE = timedelta(minutes=1)


def begun(owner=OWNER, canary=CANARY, last=None, now=BEGIN):
    return states.begin(
        "flights", STABLE, canary, "binary_classification", POLICY, baseline_of(POLICY), owner, now, last
    )


def decision(record, outcome):
    step = next_action(record).step
    return Decision(step=step, outcome=outcome, reason="because", time=BEGIN + MINUTE)


def decided(record, outcome):
    return states.decided(record, decision(record, outcome), OWNER, BEGIN + MINUTE)


def applied(record):
    return states.applied(record, next_action(record), OWNER, BEGIN + MINUTE)


def lived(*outcomes):
    """The record after so many steps were decided, with nothing carried out after the last."""
    record = begun()
    for outcome in outcomes:
        record = decided(applied(record), outcome)
    return record


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


def test_a_stop_reaches_an_owner_who_does_not_look(file):
    for record in whole()[:3]:
        file.store(record)
    file.store(states.stopped(file.read(), "no", "a person", BEGIN))
    with pytest.raises(LooplineError, match="read it again"):
        file.store(whole()[3])
    rolled_back = applied(file.read())  # still the owner's to do
    file.store(rolled_back)
    assert rolled_back.outcome == "rolled back"


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


@pytest.fixture
def file(tmp_path):
    return RecordFile(tmp_path / "flights")


def whole(**more):
    """Every generation of a release that is promoted."""
    records = [begun(**more)]
    while (action := next_action(records[-1])).kind != "nothing":
        records.append(decided(records[-1], "advance") if action.kind == "analyse" else applied(records[-1]))
    return records


def test_what_is_stored_is_read_again(file):
    assert file.read() is None
    for record in whole():
        file.store(record)
        assert file.read() == record


def test_a_killed_release_goes_on_where_it_was_stored(file):
    for record in whole()[:2]:
        file.store(record)
    again = RecordFile(file.path.parent).read()
    assert next_action(again) == next_action(whole()[1])


def test_one_generation_is_stored_once(file):
    first, second, *_ = whole()
    file.store(first)
    other = states.stopped(first, "no", OWNER, BEGIN)
    file.store(second)
    for late in (first, second, other):
        with pytest.raises(LooplineError, match=r"changed by another process \(it is at generation 2\): read it again"):
            file.store(late)
    assert file.read() == second


def test_what_happened_cannot_be_unsaid(file):
    for record in whole()[:3]:
        file.store(record)
    for forged in (
        begun().model_copy(update={"generation": 4}),
        whole()[3].model_copy(update={"canary": "9"}),
        whole()[3].model_copy(update={"events": whole()[3].events[1:]}),
    ):
        with pytest.raises(LooplineError, match="it can only be appended to"):
            file.store(forged)


def test_the_next_release_goes_on_counting_and_keeps_the_last(file):
    for record in whole():
        file.store(record)
    last = file.read()
    following = begun(canary="9", last=last)
    assert following.generation == last.generation + 1
    file.store(following)
    kept = file.path.parent / "ended" / f"{last.generation}.json"
    assert Record.model_validate_json(kept.read_bytes()) == last
    assert file.read() == following


def test_of_many_that_store_the_same_generation_one_does(file):
    """Processes, started together; the others are told that they were late."""
    file.store(begun())
    children = []
    for child in range(8):
        pid = os.fork()
        if pid == 0:
            status = 0
            try:
                file.store(states.stopped(begun(), f"process {child}", OWNER, BEGIN))
            except LooplineError:
                status = 7
            os._exit(status)
        children.append(pid)
    codes = sorted(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children)
    assert codes == [0] + [7] * 7
    assert file.read().generation == 2


def test_a_process_killed_while_it_writes_leaves_the_former_record(file):
    file.store(begun())
    pid = os.fork()
    if pid == 0:
        os.replace = lambda *_: os._exit(9)
        from pathlib import Path

        Path.replace = lambda *_: os._exit(9)
        file.store(applied(begun()))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    assert file.read() == begun()
    file.store(applied(begun()))


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": "loopline.release/2"}', json.dumps({"endpoint": "flights", "zzz": 1})]
)
def test_a_file_that_is_no_record_is_said_to_be_none(file, content):
    file.path.parent.mkdir()
    file.path.write_text(content)
    for use in (file.read, lambda: file.store(begun())):
        with pytest.raises(LooplineError, match=r"release\.json is no record of a release .*restore it from a copy"):
            use()
    assert file.path.read_text() == content


def test_a_place_that_cannot_be_written_or_read_is_said(tmp_path):
    (tmp_path / "flights").write_text("a file where the folder should be")
    file = RecordFile(tmp_path / "flights")
    with pytest.raises(LooplineError, match="cannot be written and is unchanged: File exists"):
        file.store(begun())
    with pytest.raises(LooplineError, match="cannot be read: Not a directory"):
        file.read()
