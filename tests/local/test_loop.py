"""The whole loop on a small regression use case: what it leaves, that it is cached, and that damage is found."""

import json
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from loopline.components.contract import usecase
from loopline.components.registry.models import models
from loopline.images import code
from loopline.local.workspace import Workspace
from tests.local.conftest import USECASE


def test_summary_says_what_happened(looped):
    summary = looped.summary()
    assert [run["pipeline"] for run in summary["runs"]] == [
        "training",
        "validation",
        "batch-inference",
        "materialisation",
        "retrain",
    ]
    assert all(run["state"] == "succeeded" for run in summary["runs"])
    assert summary["retrain"]["decision"] in {"promoted", "kept"}
    assert summary["retrain"]["reason"]
    assert summary["seconds"] > 0
    assert {model["alias"] for model in summary["models"]} >= {"champion"}
    assert all(model["digest"].startswith("sha256:") and model["metrics"] for model in summary["models"])


def test_branches_really_ran(looped):
    """kfp.local can skip a condition and report success: the steps behind them must have run, or say why not."""
    assert looped.step("validation", "check-gates")["values"]["Output"] == "pass"
    assert looped.step("validation", "promote")["state"] == "succeeded"
    better = looped.step("retrain", "compare")["values"]["Output"] == "better"
    passed = looped.step("retrain", "check-gates")["values"]["Output"] == "pass"
    assert looped.step("retrain", "promote")["state"] == ("succeeded" if better and passed else "skipped")


def test_batch_is_one_row_per_entity(looped):
    batch = looped.summary()["batch"]
    table = ds.dataset(batch["path"], partitioning="hive").to_table()
    assert table.num_rows == batch["rows_out"]
    assert batch["rows_in"] == batch["rows_out"] + batch["rows_quarantined"]
    assert {"station", "read_at", "feature_time", "prediction", "model_version"} <= set(table.column_names)
    assert len(set(zip(table["station"].to_pylist(), table["read_at"].to_pylist(), strict=True))) == table.num_rows
    assert set(table["model_version"].to_pylist()) == {"1"}


def test_report_stands_alone(looped):
    page = (looped.workspace / "report" / "index.html").read_text()
    assert "temperature" in page
    assert "<script src" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_looking_at_it(looped):
    assert "retrain" in looped.loopline("runs")
    assert "train" in looped.loopline("show", "last")
    assert "champion" in looped.loopline("models", "--usecase", USECASE)
    assert "last_reading" in looped.loopline("features", "--usecase", USECASE)
    assert "it has not run before" in looped.loopline("explain", looped.runs("training")[0]["id"], "train")


def test_again_is_cached_and_changes_nothing(laptop):
    before = laptop.summary()
    laptop.loopline("loop", "--usecase", USECASE, "--no-release")
    after = laptop.summary()
    assert [run["cached"] for run in after["runs"]] == [
        run["steps"] - sum(step["state"] == "skipped" for step in run["step_list"]) for run in after["runs"]
    ]
    assert [(m["version"], m["alias"], m["digest"]) for m in after["models"]] == [
        (m["version"], m["alias"], m["digest"]) for m in before["models"]
    ]
    assert after["batch"] == before["batch"]
    assert after["retrain"] == before["retrain"]


def test_a_damaged_cached_artifact_is_made_again(laptop):
    digest = laptop.step("training", "training-examples/join-features")["outputs"]["examples"]["digest"]
    uri = Path(laptop.step("training", "training-examples/join-features")["outputs"]["examples"]["uri"])
    file = uri / "examples.parquet"
    file.write_bytes(file.read_bytes()[:-8] + b"damaged!")
    laptop.loopline("run", "training", "--usecase", USECASE)
    step = laptop.step("training", "training-examples/join-features")
    assert step["state"] == "succeeded"
    assert step["why"] == "the cached output examples was damaged or deleted"
    assert step["outputs"]["examples"]["digest"] == digest
    assert laptop.step("training", "train")["state"] == "cached"


def test_only_what_depends_on_a_parameter_runs_again(laptop):
    laptop.loopline("run", "training", "--usecase", USECASE, "--param", "evaluate_end=2013-05-08")
    states = {step["name"]: step["state"] for step in laptop.runs("training")[-1]["steps"]}
    assert {name for name, state in states.items() if state == "succeeded"} == {
        "evaluation-examples/ingest",
        "evaluation-examples/validate-data",
        "evaluation-examples/build-features",
        "evaluation-examples/join-features",
        "evaluate",
        "register",
    }
    told = laptop.loopline("explain", "last", "evaluation-examples/ingest")
    assert "parameter end: '2013-05-11' became '2013-05-08'" in told


def test_a_registry_that_was_deleted_is_filled_again(laptop):
    import shutil

    shutil.rmtree(laptop.workspace / "registry")
    laptop.loopline("run", "training", "--usecase", USECASE)
    assert "recreated" in laptop.step("training", "register")["why"]
    assert "candidate" in laptop.loopline("models", "--usecase", USECASE)


def test_rollback_and_a_cached_loop_does_not_undo_it(laptop):
    if laptop.summary()["retrain"]["decision"] != "promoted":
        pytest.skip("the challenger was not promoted, so there is no former champion")
    laptop.loopline("rollback", "--usecase", USECASE)
    laptop.loopline("loop", "--usecase", USECASE, "--no-release")
    champion = next(model for model in laptop.summary()["models"] if model["alias"] == "champion")
    assert champion["version"] == 1


def test_lineage_goes_back_to_data_code_and_run(looped):
    first = next(
        version for version in models("temperature", Workspace(looped.workspace).registry) if version.version == 1
    )
    uri = Path(looped.step("training", "training-examples/join-features")["outputs"]["examples"]["uri"])
    examples = json.loads((uri / "dataset.json").read_text())
    assert first.lineage["examples"] == examples["digest"]
    assert first.lineage["code"] == code.code_tags(usecase.load(USECASE))["training"]
    assert first.lineage["tracking_run"]
    assert "last_reading" in first.lineage["feature_views"]
