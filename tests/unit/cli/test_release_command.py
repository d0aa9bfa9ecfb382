"""``loopline release``: what it refuses before a run, and what it says at the end of one."""

import contextlib
import json
import os

import pytest
from rich.console import Console

from loopline.cli import releasing, terminal
from loopline.cli.commands import models
from loopline.components.contract import usecase
from loopline.components.errors import LooplineError
from loopline.local.records import Output, RunRecord, StepRecord
from tests.canary_traffic import BAD, GOOD
from tests.unit.deployment.simulated_world import World


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("LOOPLINE_HOME", str(tmp_path))
    return releasing.Workspace.find()


def released(world):
    controller = world.controller()
    controller.begin("8")
    return controller.reconcile()


@pytest.fixture
def command(workspace, monkeypatch, tmp_path):
    """Call the command with a run that ended so; keeps what was printed and what the run was asked for."""

    def call(outcome, record=None, error=""):
        files = {"record": tmp_path / "record.json", "page": tmp_path / "page.md"}
        files["record"].write_text(record.model_dump_json() if record else json.dumps(None))
        files["page"].write_text("# The page")
        outputs = {name: Output(kind="system.Artifact", uri=str(path), digest="") for name, path in files.items()}
        steps = [
            StepRecord(name="find-champion", task="find-champion", stage="registry", values={"Output": "8"}),
            StepRecord(name="finish", task="finish", stage="deployment", outputs=outputs, values={"Output": outcome}),
        ]
        state = "failed" if error else "succeeded"
        run = RunRecord(
            id="release-1", pipeline="release", usecase="", parameters={}, state=state, error=error, steps=steps
        )

        class FakeEngine:
            def __init__(self, *_):
                pass

            def run(self, pipeline, package, values):
                call.values = {"pipeline": pipeline.name, "package": package, **values}
                return run

        monkeypatch.setattr(releasing, "Engine", FakeEngine)
        monkeypatch.setattr(releasing, "_locked", lambda *_: contextlib.nullcontext())
        console = Console(record=True, width=200)
        monkeypatch.setattr(terminal, "console", console)
        try:
            models.release("8", wait="60")
        finally:
            call.said = console.export_text()

    return call


def test_a_promotion_leaves_a_page(command, workspace):
    command("promoted", released(World(canary=GOOD)))
    assert "flights version 8: promoted" in command.said
    assert (workspace.root / "releases" / "flights" / "8.md").read_text() == "# The page"
    asked = {key: command.values[key] for key in ("pipeline", "version", "target", "wait", "target_uri")}
    target_uri = str(workspace.serving("flights"))
    assert asked == {"pipeline": "release", "version": "8", "target": "local", "wait": "60", "target_uri": target_uri}


def test_a_rollback_fails(command):
    with pytest.raises(LooplineError, match="version 8 of flights was rolled back: the canary is worse than allowed"):
        command("rolled back", released(World(canary=BAD["miscalibrated by 0.1"])))


def test_one_that_is_under_way_is_no_failure(command):
    controller = World().controller()
    controller.begin("8")
    command("under way", controller.reconcile(0))
    assert "flights version 8: under way" in command.said


def test_a_version_that_serves_is_no_failure(command):
    command("serves already")
    assert "flights version 8 serves already: nothing to release" in command.said


def test_a_step_that_failed_says_why(command):
    with pytest.raises(LooplineError, match="find-champion: version 7 of flights is not the champion"):
        command("", error="find-champion: version 7 of flights is not the champion")


def test_no_endpoint(workspace):
    with pytest.raises(LooplineError, match="no endpoint of flights runs here; start it with `loopline serve`"):
        models.release("2")


def test_unknown_target(workspace):
    with pytest.raises(LooplineError, match="there is no target 'moon'; there are local, git, cluster"):
        models.release("2", target="moon")


def test_a_time_that_is_none(workspace):
    with pytest.raises(LooplineError, match="'soon' is no time to wait for evidence"):
        models.release("2", wait="soon")


@pytest.mark.parametrize("target", ["git", "cluster"])
def test_no_cluster_is_named(workspace, monkeypatch, target):
    monkeypatch.delenv("LOOPLINE_CLUSTER", raising=False)
    with pytest.raises(LooplineError, match="no cluster is named"):
        models.release("2", target=target)


def test_a_policy_file_is_given_to_the_steps(tmp_path, monkeypatch):
    monkeypatch.setenv("LOOPLINE_POLICY", "")
    case, file = usecase.load("loopline.usecases.flights"), tmp_path / "policy.yaml"
    with pytest.raises(LooplineError, match=r"policy\.yaml does not exist; kustomize/overlays/prod/"):
        releasing._set_policy(file, case)
    file.write_text("release: {stpes: [1]}\n")
    with pytest.raises(LooplineError, match=r"policy\.yaml: release\.stpes: unknown key; did you mean 'steps'"):
        releasing._set_policy(file, case)
    assert not os.environ["LOOPLINE_POLICY"]
    file.write_text("release: {steps: [1, 99]}\n")
    releasing._set_policy(file, case)
    assert os.environ["LOOPLINE_POLICY"] == file.read_text()
