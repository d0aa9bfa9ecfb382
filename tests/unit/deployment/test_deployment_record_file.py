"""The record of a release in a file, stored by compare and swap."""

import json
import os

import pytest

from loopline.components.deployment.release import transitions as states
from loopline.components.deployment.release.record import Record
from loopline.components.deployment.release.record_file import RecordFile
from loopline.components.deployment.release.transitions import next_action
from loopline.components.errors import LooplineError
from tests.canary_traffic import BEGIN
from tests.unit.deployment.records import OWNER, applied, begun, whole


@pytest.fixture
def file(tmp_path):
    return RecordFile(tmp_path / "flights")


def test_a_stop_reaches_an_owner_who_does_not_look(file):
    for record in whole()[:3]:
        file.store(record)
    file.store(states.stopped(file.read(), "no", "a person", BEGIN))
    with pytest.raises(LooplineError, match="read it again"):
        file.store(whole()[3])
    rolled_back = applied(file.read())  # still the owner's to do
    file.store(rolled_back)
    assert rolled_back.outcome == "rolled back"


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
