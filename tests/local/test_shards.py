"""Loops: every branch really runs, has a record of its own, and fails the run if it fails; batches in shards."""

from pathlib import Path

import pyarrow.dataset as ds
import pytest

from loopline.local.engine import Engine
from loopline.local.workspace import Workspace
from tests.local.conftest import USECASE
from tests.local.looping_pipeline import looping


class Silent:
    """A watcher that does not look."""

    def started(self, run, step): ...

    def progressed(self, run, step, line): ...

    def finished(self, run, step): ...


def states(run):
    return {step.name: step.state for step in run.steps}


def test_each_branch_runs_and_is_cached_by_itself(tmp_path):
    engine = Engine(Workspace(tmp_path), Silent())
    run = engine.run(looping, USECASE, {"items": "a,b,c"})
    assert run.state == "succeeded", run.error
    assert states(run) == dict.fromkeys(["name-items", "branch[a]", "branch[b]", "branch[c]", "gather"], "succeeded")
    assert Path(run.step("gather").outputs["made"].uri).read_text() == "a b c"
    assert run.step("gather").needs == ["branch[a]", "branch[b]", "branch[c]"]
    assert [run.step(f"branch[{item}]").parts.parameters["item"] for item in "abc"] == ["a", "b", "c"]
    again = engine.run(looping, USECASE, {"items": "a,b,c"})
    assert set(states(again).values()) == {"cached"}
    other = engine.run(looping, USECASE, {"items": "c,d"})
    assert states(other)["branch[c]"] == "cached"
    assert states(other)["branch[d]"] == states(other)["gather"] == "succeeded"
    assert Path(other.step("gather").outputs["made"].uri).read_text() == "c d"


def test_a_branch_that_fails_fails_the_run(tmp_path):
    run = Engine(Workspace(tmp_path), Silent()).run(looping, USECASE, {"items": "a,bad,c"})
    assert run.state == "failed"
    assert "branch[bad]: this item is bad" in run.error
    assert states(run)["gather"] == "waiting"


def sharded(laptop, shards, version, destination, expect=0):
    values = {"shards": shards, "version": version, "destination": destination}
    given = [part for name, value in values.items() for part in ("--param", f"{name}={value}")]
    return laptop.loopline("run", "sharded_batch", "--usecase", USECASE, *given, expect=expect)


@pytest.fixture
def version(laptop):
    """The version that the loop's batch was predicted with."""
    return laptop.runs("batch-inference")[-1]["parameters"]["version"]


def test_any_number_of_shards_predicts_what_one_step_does(laptop, version, tmp_path):
    whole = laptop.step("batch-inference", "predict")["outputs"]["predictions"]
    destination = tmp_path / "published"
    sharded(laptop, 3, version, destination)
    ran = {step["name"]: step for step in laptop.runs("sharded-batch")[-1]["steps"]}
    branches = [f"score-shard[{number}/3]" for number in (1, 2, 3)]
    assert sorted(name for name in ran if name.startswith("score-shard")) == branches
    assert [ran[name]["state"] for name in branches] == ["succeeded"] * 3
    parts = [ran[name]["outputs"]["part"] for name in branches]
    assert len({part["digest"] for part in parts}) == 3
    predicted = whole["metadata"]["rows_out"] + laptop.summary()["batch"]["rows_quarantined"]
    assert 0 < sum(part["metadata"]["rows"] for part in parts) <= predicted
    assert ran["merge-shards"]["outputs"]["predictions"]["digest"] == whole["digest"]
    published = ds.dataset(destination / "current", partitioning="hive").to_table()
    assert published.num_rows == whole["metadata"]["rows_out"]

    sharded(laptop, 1, version, destination)
    assert laptop.step("sharded-batch", "score-shard[1/1]")["state"] == "succeeded"
    merged = laptop.step("sharded-batch", "merge-shards")["outputs"]["predictions"]
    assert merged["digest"] == whole["digest"]
    assert laptop.step("sharded-batch", "publish")["state"] == "cached"
    assert "score-shard[1/1]" in laptop.loopline("explain", "last", "score-shard[1/1]")


def test_a_number_of_shards_that_is_none_is_one_sentence(laptop, version, tmp_path):
    error = sharded(laptop, "none", version, tmp_path / "published", expect=1)
    assert "'none' shards cannot be made; give a number from 1 to 1000" in error
    assert not (tmp_path / "published").exists()
