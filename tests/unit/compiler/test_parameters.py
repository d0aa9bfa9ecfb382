"""Defaults come from the use case; what the person says wins; typos are answered."""

import pkgutil
import sys

import pytest

from loopline import pipelines
from loopline.compiler import parameters, pipeline_ir
from loopline.components.contract import usecase
from loopline.components.errors import LooplineError
from loopline.local import versions
from loopline.local.workspace import Workspace


@pytest.fixture(scope="module")
def case():
    return usecase.load("loopline.usecases.flights")


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path)


@pytest.mark.parametrize("pipeline", pipeline_ir.PIPELINES)
def test_every_parameter_has_a_default(pipeline, case, workspace):
    values = parameters.complete(pipeline, case, workspace, {})
    wanted = set(pipeline_ir.load(pipeline).component_spec.inputs) - {"usecase"}
    assert set(values) == wanted


def test_retraining_ends_where_the_comparison_begins(case, workspace):
    values = parameters.complete(
        "retrain", case, workspace, {"compare_start": "2013-09-01", "compare_end": "2013-10-01"}
    )
    assert values["end"] == "2013-09-01"
    assert values["start"] == "2013-05-02"  # 122 days, local time, summer time or not


def test_typo_in_a_parameter(case, workspace):
    with pytest.raises(LooplineError, match="no parameter 'evalute_start'; did you mean 'evaluate_start'"):
        parameters.complete("training", case, workspace, {"evalute_start": "2013-05-01"})


def test_window_that_is_none(case, workspace):
    with pytest.raises(LooplineError, match="its end must come after its start"):
        parameters.complete("training", case, workspace, {"start": "2013-05-01", "end": "2013-04-01"})
    with pytest.raises(LooplineError, match="'soon' is not a date"):
        parameters.complete("training", case, workspace, {"start": "soon"})


def test_unknown_pipeline(case, workspace):
    with pytest.raises(LooplineError, match="there is no pipeline 'trainign'"):
        parameters.complete("trainign", case, workspace, {})


def test_versions_stay_and_aliases_need_a_model(case, workspace):
    assert versions.resolve_versions("batch_inference", {"version": "3"}, case, workspace) == {"version": "3"}
    with pytest.raises(LooplineError, match="no model of flights is champion yet"):
        versions.resolve_versions("batch_inference", {"version": "champion"}, case, workspace)


def test_training_happens_in_the_step_unless_said_otherwise(case, workspace):
    assert parameters.complete("retrain", case, workspace, {})["target"] == "pod"
    assert parameters.complete("training", case, workspace, {"target": "trainjob"})["target"] == "trainjob"
    with pytest.raises(LooplineError, match="there is no training target 'gpu'; there are pod, trainjob"):
        parameters.complete("training", case, workspace, {"target": "gpu"})


def test_a_release_finds_out_by_itself_who_is_champion(case, workspace):
    values = parameters.complete("release", case, workspace, {})
    assert (values["version"], values["target"], values["target_uri"]) == (
        "champion",
        "local",
        str(workspace.serving("flights")),
    )
    assert versions.resolve_versions("release", values, case, workspace) == values
    with pytest.raises(LooplineError, match="there is no target 'pod'; there are local, git, cluster"):
        parameters.complete("release", case, workspace, {"target": "pod"})
    with pytest.raises(LooplineError, match="'a while' is no time to wait"):
        parameters.complete("release", case, workspace, {"wait": "a while"})


NEW_DAG = '''
from kfp import dsl

from loopline.components.data.component import ingest


@dsl.pipeline(name="weekly-report")
def weekly_report(usecase: str, start: str, end: str, webhook: str, registry: str, note: str = "none"):
    """A DAG that somebody adds."""
    ingest(usecase=usecase, start=start, end=end)
'''


@pytest.fixture
def weekly_report(tmp_path, monkeypatch):
    """One file more in pipelines/, and nothing else."""
    (tmp_path / "weekly_report.py").write_text(NEW_DAG)
    monkeypatch.setattr(pipelines, "__path__", [*pipelines.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "loopline.pipelines.weekly_report", raising=False)
    found = tuple(module.name for module in pkgutil.iter_modules(pipelines.__path__) if not module.ispkg)
    monkeypatch.setattr(pipeline_ir, "PIPELINES", found)


def test_a_new_dag_needs_one_file(weekly_report, case, workspace):
    replay = [str(moment) for moment in case.spec.replay.batch]
    values = parameters.complete("weekly-report", case, workspace, {"webhook": "https://example.org"})
    assert [values["start"], values["end"]] == replay
    assert (values["registry"], values["webhook"]) == (workspace.registry, "https://example.org")
    assert "note" not in values  # its own default
    with pytest.raises(LooplineError, match="pipeline weekly_report needs webhook: give each with --param"):
        parameters.complete("weekly_report", case, workspace, {})


def test_a_module_that_is_no_dag_is_named(tmp_path, monkeypatch):
    (tmp_path / "helpers_of_mine.py").write_text("")
    monkeypatch.setattr(pipelines, "__path__", [*pipelines.__path__, str(tmp_path)])
    monkeypatch.setattr(pipeline_ir, "PIPELINES", ("helpers_of_mine",))
    with pytest.raises(LooplineError, match=r"pipelines/helpers_of_mine\.py has no pipeline of its name"):
        pipeline_ir.load("helpers_of_mine")


def test_the_dags_are_the_modules_of_the_folder():
    known = {"training", "validation", "batch_inference", "sharded_batch", "materialisation", "retrain", "release"}
    assert known <= set(pipelines.PIPELINES)
    assert "nested" not in pipelines.PIPELINES
