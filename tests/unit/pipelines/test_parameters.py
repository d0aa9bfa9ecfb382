"""Defaults come from the use case; what the person says wins; typos are answered."""

import pytest

from loopline.compiler import parameters, pipeline_ir
from loopline.components.contract import usecase
from loopline.components.errors import LooplineError
from loopline.local.home import Home


@pytest.fixture(scope="module")
def case():
    return usecase.load("loopline.usecases.flights")


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


@pytest.mark.parametrize("pipeline", pipeline_ir.PIPELINES)
def test_every_parameter_has_a_default(pipeline, case, home):
    values = parameters.complete(pipeline, case, home, {})
    wanted = set(pipeline_ir.load(pipeline).component_spec.inputs) - {"usecase"}
    assert set(values) == wanted


def test_retraining_ends_where_the_comparison_begins(case, home):
    values = parameters.complete("retrain", case, home, {"compare_start": "2013-09-01", "compare_end": "2013-10-01"})
    assert values["end"] == "2013-09-01"
    assert values["start"] == "2013-05-02"  # 122 days, local time, summer time or not


def test_typo_in_a_parameter(case, home):
    with pytest.raises(LooplineError, match="no parameter 'evalute_start'; did you mean 'evaluate_start'"):
        parameters.complete("training", case, home, {"evalute_start": "2013-05-01"})


def test_window_that_is_none(case, home):
    with pytest.raises(LooplineError, match="its end must come after its start"):
        parameters.complete("training", case, home, {"start": "2013-05-01", "end": "2013-04-01"})
    with pytest.raises(LooplineError, match="'soon' is no date"):
        parameters.complete("training", case, home, {"start": "soon"})


def test_unknown_pipeline(case, home):
    with pytest.raises(LooplineError, match="there is no pipeline 'trainign'"):
        parameters.complete("trainign", case, home, {})


def test_versions_stay_and_aliases_need_a_model(case, home):
    assert parameters.resolve_versions("batch_inference", {"version": "3"}, case, home) == {"version": "3"}
    with pytest.raises(LooplineError, match="no model of flights is champion yet"):
        parameters.resolve_versions("batch_inference", {"version": "champion"}, case, home)


def test_training_happens_in_the_step_unless_said_otherwise(case, home):
    assert parameters.complete("retrain", case, home, {})["target"] == "pod"
    assert parameters.complete("training", case, home, {"target": "trainjob"})["target"] == "trainjob"
    with pytest.raises(LooplineError, match="there is no training target 'gpu'; there are pod, trainjob"):
        parameters.complete("training", case, home, {"target": "gpu"})


def test_a_release_finds_out_by_itself_who_is_champion(case, home):
    values = parameters.complete("release", case, home, {})
    assert (values["version"], values["target"], values["place"]) == ("champion", "local", str(home.serving("flights")))
    assert parameters.resolve_versions("release", values, case, home) == values
    with pytest.raises(LooplineError, match="there is no target 'pod'; there are local, git, cluster"):
        parameters.complete("release", case, home, {"target": "pod"})
    with pytest.raises(LooplineError, match="'a while' is no time to wait"):
        parameters.complete("release", case, home, {"wait": "a while"})
