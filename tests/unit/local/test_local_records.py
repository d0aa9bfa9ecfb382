"""Run records: found, listed, and honest about runs whose process is gone."""

import subprocess
import sys

import pytest

from loopline.components.errors import LooplineError
from loopline.local.records import StepRecord
from loopline.local.run_store import find_run, list_runs, new_run


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


def test_ids_are_free_and_sort_by_time(runs, monkeypatch):
    monkeypatch.setattr("loopline.local.run_store.now", lambda: "2026-01-01T00:00:00.000+00:00")  # all at once
    made = [new_run(runs, "training", "loopline.usecases.flights", {"start": "2013-01-01"}) for _ in range(12)]
    assert len({run.id for run in made}) == 12
    assert [run.id for run in list_runs(runs)] == [run.id for run in made]
    assert find_run(runs, "last").id == list_runs(runs)[-1].id


def test_a_run_whose_process_died_is_killed_not_running(runs):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    run = new_run(runs, "training", "loopline.usecases.flights", {})
    run.process = ended.pid
    run.steps = [StepRecord(name="train", task="train", stage="training", state="running")]
    run.save(runs)
    found = find_run(runs, run.id)
    assert found.state == "killed"
    assert found.steps[0].state == "killed"
    assert "run the same command again" in found.error


def test_unknown_run_and_step_are_named(runs):
    with pytest.raises(LooplineError, match="no run 'nonsense'"):
        find_run(runs, "nonsense")
    with pytest.raises(LooplineError, match="no run 'last'"):
        find_run(runs, "last")
    run = new_run(runs, "training", "loopline.usecases.flights", {})
    run.steps = [StepRecord(name=f"{window}/ingest", task="t", stage="data") for window in ("training", "evaluation")]
    assert run.step("training/ingest").name == "training/ingest"
    with pytest.raises(LooplineError, match="more than one step 'ingest'"):
        run.step("ingest")
    with pytest.raises(LooplineError, match="no step 'trian'"):
        run.step("trian")


def test_damaged_record_is_one_sentence(runs):
    run = new_run(runs, "training", "loopline.usecases.flights", {})
    (runs / run.id / "run.json").write_text("{")
    with pytest.raises(LooplineError, match="is damaged"):
        list_runs(runs)
