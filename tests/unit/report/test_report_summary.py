import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fabricated_loop import FIRST, SECOND, FabricatedLoop, spec

from loopline.report import write_report

MakeLoop = Callable[..., FabricatedLoop]


def summary_of(loop: FabricatedLoop, folder: Path) -> dict[str, Any]:
    page = write_report(folder, loop.runs, loop.models, loop.spec, 93.4)
    assert page == folder / "index.html"
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return summary


def test_keys_are_those_that_programs_rely_on(make_loop: MakeLoop, tmp_path: Path) -> None:
    summary = summary_of(make_loop(), tmp_path)
    assert set(summary) == {
        "format",
        "usecase",
        "task",
        "started",
        "seconds",
        "state",
        "runs",
        "models",
        "data",
        "batch",
        "retrain",
        "releases",
    }
    assert set(summary["runs"][0]) == {
        "pipeline",
        "run",
        "state",
        "seconds",
        "steps",
        "cached",
        "error",
        "step_list",
    }
    assert set(summary["runs"][0]["step_list"][0]) == {"name", "state", "seconds", "why"}
    assert set(summary["models"][0]) == {"version", "alias", "aliases", "digest", "metrics"}
    assert set(summary["data"][0]) == {"run", "step", "window", "rows", "quarantined"}


def test_says_what_happened(make_loop: MakeLoop, tmp_path: Path) -> None:
    loop = make_loop()
    summary = summary_of(loop, tmp_path)
    assert summary["seconds"] == 93.4
    assert summary["state"] == "succeeded"
    assert summary["started"] == loop.runs[0].started
    assert [(run["pipeline"], run["steps"], run["cached"]) for run in summary["runs"]] == [
        ("training", 12, 0),
        ("validation", 9, 4),
        ("batch-inference", 7, 0),
        ("materialise", 5, 3),
        ("retrain", 17, 0),
    ]
    assert summary["batch"] == {
        "path": "predictions/flights/current",
        "rows_in": 28_243,
        "rows_out": 28_231,
        "rows_quarantined": 12,
    }
    assert summary["retrain"] == {"decision": "promoted", "reason": "it passed its gates"}
    checked = next(data for data in summary["data"] if data["step"] == "batch-examples/validate-data")
    assert (checked["rows"], checked["quarantined"]) == ({"flights": 2}, {"flights": 1})


def test_models_are_named_by_their_foremost_alias(make_loop: MakeLoop, tmp_path: Path) -> None:
    models = summary_of(make_loop(), tmp_path)["models"]
    assert [(m["version"], m["digest"], m["alias"]) for m in models] == [
        (1, FIRST, "candidate"),
        (2, SECOND, "champion"),
    ]


def test_months_of_a_model_are_those_of_the_registry_and_of_these_runs(make_loop: MakeLoop, tmp_path: Path) -> None:
    loop = make_loop()
    loop.models[0]["metrics"]["2013-05"]["auc"] = 0.123
    first = summary_of(loop, tmp_path)["models"][0]["metrics"]
    assert list(first) == ["2013-05", "2013-07"]
    assert first["2013-05"]["auc"] == 0.123
    assert first["2013-07"]["auc"] == 0.741


def test_a_challenger_that_is_not_better_is_kept_out_for_that_reason(make_loop: MakeLoop, tmp_path: Path) -> None:
    outcome = summary_of(make_loop(better=False), tmp_path)["retrain"]
    assert outcome["decision"] == "kept"
    assert "on the same 28,128 rows" in outcome["reason"]


def test_a_challenger_that_fails_its_gates_is_kept_out_for_that_reason(make_loop: MakeLoop, tmp_path: Path) -> None:
    loop = make_loop()
    retrain = loop.runs[-1]
    retrain.steps = [step for step in retrain.steps if step.name != "promote"]
    verdict = Path(retrain.step("check-gates").outputs["verdict"].uri)
    content = json.loads(verdict.read_text())
    verdict.write_text(json.dumps({**content, "passed": False, "reason": "1 of 4 gates failed: auc 0.7 is below 0.74"}))
    assert summary_of(loop, tmp_path)["retrain"] == {
        "decision": "kept",
        "reason": "1 of 4 gates failed: auc 0.7 is below 0.74",
    }


@pytest.mark.parametrize("count", [0, 1, 2])
def test_what_did_not_happen_is_null(make_loop: MakeLoop, tmp_path: Path, count: int) -> None:
    loop = make_loop()
    loop.runs, loop.models = loop.runs[:count], []
    summary = summary_of(loop, tmp_path)
    assert (summary["batch"], summary["retrain"], summary["models"]) == (None, None, [])
    assert len(summary["runs"]) == count


def test_a_failed_retraining_has_no_outcome(make_loop: MakeLoop, tmp_path: Path) -> None:
    loop = make_loop()
    loop.runs[-1].state = "failed"
    summary = summary_of(loop, tmp_path)
    assert (summary["state"], summary["retrain"]) == ("failed", None)


def test_the_same_runs_give_the_same_bytes(make_loop: MakeLoop, tmp_path: Path) -> None:
    loop = make_loop()
    contents = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        write_report(folder, loop.runs, loop.models, loop.spec, 93.4)
        contents.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert contents[0] == contents[1]
    assert set(contents[0]) == {"index.html", "summary.json"}


def test_no_runs_at_all_is_a_report_too(tmp_path: Path) -> None:
    page = write_report(tmp_path, [], [], spec("regression"), 0.0)
    assert "No model is champion" in page.read_text(encoding="utf-8")
