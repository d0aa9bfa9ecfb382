"""``loopline show``: what each step decided, why, and where its outputs are."""

import pytest
from rich.console import Console

from loopline.cli import looking
from loopline.local.records import Output, StepRecord
from loopline.local.run_store import new_run
from loopline.local.workspace import Workspace

DIGEST = "sha256:" + "0f" * 32


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("LOOPLINE_HOME", str(tmp_path))
    runs = Workspace.find().runs
    run = new_run(runs, "retrain", "loopline.usecases.flights", {"champion": "1"})
    artifact = Output(kind="system.Artifact", uri="/runs/retrain/comparison", digest=DIGEST)
    run.steps = [
        StepRecord(name="register", task="register", stage="registry", state="succeeded", values={"Output": "2"}),
        StepRecord(
            name="find-champion", task="f", stage="registry", state="succeeded", values={"Output": "1", "since": "2013"}
        ),
        StepRecord(
            name="compare",
            task="compare",
            stage="validation",
            state="succeeded",
            outputs={"comparison": artifact},
            values={"Output": "not_better"},
            refused=True,
            reason="auc gains +0.0010 [-0.0040, +0.0060], less than 0.005",
        ),
        StepRecord(name="promote", task="promote", stage="registry", state="skipped", why="its condition did not hold"),
    ]
    run.state = "succeeded"
    run.save(runs)
    return run


def shown(identity):
    console = Console(record=True, width=80)
    looking.show_run(identity, console)
    return console.export_text()


def test_a_refused_promotion_says_who_refused_it_and_why(run):
    text = shown("last")
    assert "refused by compare: not_better: auc gains +0.0010 [-0.0040, +0.0060], less than 0.005" in text
    assert text.count("refused by") == 1


def test_decisions_values_and_artifacts_are_shown(run):
    lines = [line.strip() for line in shown(run.id).splitlines()]
    assert "register: 2" in lines
    assert "since = 2013" in lines
    assert f"comparison {DIGEST} /runs/retrain/comparison" in lines
    assert any(line.startswith("champion = 1") for line in lines)
    assert not any(line.startswith("promote:") for line in lines)


def test_a_run_without_refusals_says_nothing_of_them(run, tmp_path):
    run.steps = run.steps[:1]
    run.save(Workspace.find().runs)
    assert "refused" not in shown(run.id)
