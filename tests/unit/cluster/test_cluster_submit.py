"""Runs on a KFP server: started once for each moment, with parameters that fit, and refused in words."""

import base64
import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from loopline.cluster import names, stage_pods
from loopline.cluster.kfp_client import KfpClient
from loopline.cluster.kfp_errors import UnavailableError
from loopline.cluster.settings import Cluster
from loopline.cluster.submit import submit
from loopline.components.contract.window import parse_time
from loopline.components.errors import LooplineError

MOMENT = parse_time("2013-06-15T08:00:00Z")


def start(cluster, pipeline, case, given=None, moment=None, version=None, timeout=(2, 5)):
    server = KfpClient(cluster, timeout)
    return submit(
        server,
        cluster,
        pipeline,
        case,
        given or {},
        moment,
        server.version(names.pipeline_name(case, pipeline), version),
    )


def web_token(expires):
    payload = base64.urlsafe_b64encode(json.dumps({"exp": expires.timestamp()}).encode()).decode().rstrip("=")
    return f"e30.{payload}.signature"


def test_a_run_gets_every_parameter_of_its_pipeline(kfp, cluster, case):
    submitted = start(cluster, "batch-inference", case, {"start": "2013-06-01", "end": "2013-06-02"})
    (run,) = kfp.runs
    assert run.run_id == submitted.id
    assert not submitted.existed
    assert run.service_account == "loopline-pipeline"
    values = run.runtime_config.parameters
    assert set(values) == set(KfpClient(cluster).version("flights-batch-inference").parameters)
    assert values["usecase"] == "loopline.usecases.flights"
    assert values["version"] == "7"  # what champion stands for now
    assert (values["start"], values["end"]) == ("2013-06-01", "2013-06-02")
    assert values["registry"] == cluster.registry
    assert values["destination"] == "s3://loopline/predictions/flights"
    assert [experiment.display_name for experiment in kfp.experiments] == ["loopline"]


def test_the_same_moment_twice_is_one_run(kfp, cluster, case):
    first = start(cluster, "batch-inference", case, moment=MOMENT)
    again = start(cluster, "batch-inference", case, moment=MOMENT.astimezone())
    assert (again.id, again.existed) == (first.id, True)
    assert len(kfp.runs) == len(kfp.experiments) == 1
    assert kfp.runs[0].display_name == "flights-batch-inference-20130615t080000z"
    assert start(cluster, "batch-inference", case, moment=MOMENT + timedelta(days=1)).id != first.id


def test_by_hand_two_runs_are_two(kfp, cluster, case):
    window = {"start": "2013-06-01", "end": "2013-06-02"}
    assert start(cluster, "batch-inference", case, window).id != start(cluster, "batch-inference", case, window).id


def test_a_moment_gives_the_window(kfp, cluster, case):
    start(cluster, "batch-inference", case, moment=MOMENT)
    assert kfp.runs[0].runtime_config.parameters["start"] == "2013-06-14"
    assert kfp.runs[0].runtime_config.parameters["end"] == "2013-06-15"


def test_a_retraining_compares_on_its_window_and_learns_before_it(kfp, cluster, case):
    start(cluster, "retrain", case, moment=parse_time("2013-09-02T09:00:00Z"))
    values = kfp.runs[0].runtime_config.parameters
    assert (values["compare_start"], values["compare_end"]) == ("2013-08-02", "2013-09-01")
    assert (values["start"], values["end"]) == ("2013-04-02", "2013-08-02")
    assert values["champion"] == "7"


def test_a_pool_places_training_and_nothing_else(kfp, settings, case):
    path = settings()
    path.with_name("gpu.yaml").write_text(
        "gpus: 2\nnode_selector: {pool: gpu}\ntolerations: [{key: gpu, operator: Exists}]\n"
    )
    pool = Cluster.read(path)
    start(pool, "training", case)
    values = kfp.runs[0].runtime_config.parameters
    assert values["gpus"] == "2"
    assert values["node_selector"] == {"pool": "gpu"}
    assert values["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    start(pool, "batch-inference", case, moment=MOMENT)
    assert "gpus" not in kfp.runs[1].runtime_config.parameters


def test_without_a_pool_everything_is_left_to_the_cpu(kfp, cluster, case):
    start(cluster, "training", case)
    assert not {"gpus", "node_selector", "tolerations"} & set(kfp.runs[0].runtime_config.parameters)


def test_a_trainjob_places_itself(kfp, settings, case):
    path = settings(training="trainjob")
    path.with_name("gpu.yaml").write_text("gpus: 2\n")
    start(Cluster.read(path), "training", case)
    values = kfp.runs[0].runtime_config.parameters
    assert values["target"] == "trainjob"
    assert "gpus" not in values
    path = settings()
    path.with_name("gpu.yaml").write_text("gpus: 2\n")
    start(Cluster.read(path), "training", case, {"target": "trainjob"})
    assert "gpus" not in kfp.runs[1].runtime_config.parameters


def test_a_version_by_name_and_the_newest(kfp, cluster, case, compiled):
    for number in range(4):  # more than one page
        newer = json.loads(json.dumps(compiled["training"]))
        newer["metadata"]["name"] = f"flights-training-{number:012x}"
        kfp.hold(newer)
    server = KfpClient(cluster)
    assert server.version("flights-training").name == f"flights-training-{3:012x}"
    oldest = compiled["training"]["metadata"]["name"]
    assert server.version("flights-training", oldest).name == oldest
    with pytest.raises(
        LooplineError, match=f"no version 'flights-training-abc' of pipeline flights-training .*training-{3:012x}"
    ):
        server.version("flights-training", "flights-training-abc")


def test_a_version_with_other_parameters_is_told(kfp, cluster, case, compiled):
    older = json.loads(json.dumps(compiled["batch_inference"]))
    inputs = older["spec"]["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]
    inputs["region"] = inputs.pop("destination")
    older["metadata"]["name"] = "flights-batch-inference-older"
    kfp.hold(older)
    with pytest.raises(LooplineError, match=r"another code revision than this command.*take destination.*needs region"):
        start(cluster, "batch-inference", case, moment=MOMENT)
    assert not kfp.runs


def test_a_moment_without_a_schedule(kfp, cluster, case):
    with pytest.raises(LooplineError, match=r"flights has no schedule\.training"):
        start(cluster, "training", case, moment=MOMENT)
    assert not kfp.runs
    assert not kfp.experiments


def test_a_parameter_that_is_none(kfp, cluster, case):
    with pytest.raises(LooplineError, match="no parameter 'strat'; did you mean 'start'"):
        start(cluster, "training", case, {"strat": "2013-01-01"})
    assert not [request for request in kfp.requests if request.startswith("POST")]


def test_no_champion_yet(kfp, mlflow, cluster, case):
    path = "/api/2.0/mlflow/registered-models/alias?name=flights&alias=champion"
    mlflow.answers[path] = (404, {"error_code": "RESOURCE_DOES_NOT_EXIST"})
    with pytest.raises(LooplineError, match=r"no model of flights is champion in .* yet; `loopline submit validation`"):
        start(cluster, "batch-inference", case, moment=MOMENT)
    mlflow.refuse = lambda headers: 401
    with pytest.raises(
        LooplineError, match="does not permit a request without a user to read models; set MLFLOW_TRACKING_USER"
    ):
        start(cluster, "batch-inference", case, moment=MOMENT)
    assert not kfp.runs


def test_mlflow_is_asked_with_the_account(kfp, mlflow, cluster, case, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "submit")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "pass:word")
    wanted = "Basic " + base64.b64encode(b"submit:pass:word").decode()
    mlflow.refuse = lambda headers: 0 if headers["Authorization"] == wanted else 401
    start(cluster, "batch-inference", case, moment=MOMENT)
    assert len(kfp.runs) == 1


def test_a_registry_that_is_away(kfp, settings, case):
    away = Cluster.read(settings(registry="http://127.0.0.1:9"))
    with pytest.raises(LooplineError, match=r"MLflow at http://127.0.0.1:9 cannot be reached"):
        start(away, "batch-inference", case, moment=MOMENT)


def test_a_token_from_a_file_that_is_replaced_meanwhile(kfp, settings, case, tmp_path):
    file = tmp_path / "token"
    kfp.token = "first"
    file.write_text("first\n")
    server = KfpClient(Cluster.read(settings(kfp__token=str(file))))
    server.check()
    kfp.token = "second"
    file.write_text("second\n")
    server.check()


def test_a_token_from_the_variable_goes_first(kfp, settings, monkeypatch, tmp_path):
    kfp.token = "mine"
    monkeypatch.setenv("LOOPLINE_KFP_TOKEN", "mine")
    KfpClient(Cluster.read(settings(kfp__token=str(tmp_path / "missing")))).check()


def test_tokens_that_do_not_serve(kfp, settings, monkeypatch, tmp_path):
    kfp.token = "right"
    with pytest.raises(LooplineError, match="did not accept a request without a token"):
        KfpClient(Cluster.read(settings())).check()
    monkeypatch.setenv("LOOPLINE_KFP_TOKEN", "wrong")
    with pytest.raises(
        LooplineError, match="did not accept the token from the variable LOOPLINE_KFP_TOKEN: expired, or"
    ):
        KfpClient(Cluster.read(settings())).check()
    monkeypatch.setenv("LOOPLINE_KFP_TOKEN", web_token(datetime.now(UTC) - timedelta(hours=1)))
    asked = len(kfp.requests)
    with pytest.raises(LooplineError, match=r"LOOPLINE_KFP_TOKEN expired at .* UTC; renew it"):
        KfpClient(Cluster.read(settings())).check()
    assert len(kfp.requests) == asked
    monkeypatch.delenv("LOOPLINE_KFP_TOKEN")
    with pytest.raises(LooplineError, match=r"cannot be read from .*missing"):
        KfpClient(Cluster.read(settings(kfp__token=str(tmp_path / "missing")))).check()
    (tmp_path / "empty").write_text("")
    with pytest.raises(LooplineError, match="is empty; renew it"):
        KfpClient(Cluster.read(settings(kfp__token=str(tmp_path / "empty")))).check()


def test_another_namespace(kfp, settings):
    with pytest.raises(LooplineError, match="does not permit this account to use namespace elsewhere"):
        KfpClient(Cluster.read(settings(namespace="elsewhere"))).check()


def test_no_such_pipeline(kfp, cluster):
    with pytest.raises(LooplineError, match="no pipeline 'materialisation' in namespace loopline; apply an overlay"):
        KfpClient(cluster).version("materialisation")


def test_a_server_in_trouble(kfp, cluster):
    kfp.failures = [503]
    with pytest.raises(UnavailableError, match=r"answered 503 \(the database is away\)"):
        KfpClient(cluster).check()


def test_a_server_that_is_not_there(settings):
    begun = time.monotonic()
    with pytest.raises(UnavailableError, match=r"KFP at http://127.0.0.1:9 cannot be reached"):
        KfpClient(Cluster.read(settings(kfp__endpoint="http://127.0.0.1:9"))).check()
    assert time.monotonic() - begun < 10


def test_a_server_that_does_not_answer_in_time(kfp, cluster):
    kfp.delay = 2
    begun = time.monotonic()
    with pytest.raises(UnavailableError, match="cannot be reached"):
        KfpClient(cluster, timeout=(0.5, 0.5)).check()
    assert time.monotonic() - begun < 2


def test_an_address_that_is_no_kfp(mlflow, settings):
    with pytest.raises(LooplineError, match="is that address the API of a KFP 2 server"):
        KfpClient(Cluster.read(settings(kfp__endpoint=mlflow.address))).check()


def test_a_certificate_that_is_no_file(settings):
    with pytest.raises(LooplineError, match=r"kfp\.authority /nowhere/ca.crt .* is not a file"):
        KfpClient(Cluster.read(settings(kfp__authority="/nowhere/ca.crt")))


def test_a_release_is_of_whichever_version_is_champion_when_it_runs(kfp, cluster, case):
    start(cluster, "release", case)
    values = kfp.runs[0].runtime_config.parameters
    assert (values["version"], values["target"], values["owner"]) == ("champion", "cluster", "loopline-pipeline")
    assert values["log"] == "s3://loopline/predictions/flights/requests"
    assert 0 < int(values["wait"]) < stage_pods.STAGES["deployment"].timeout.total_seconds()


@pytest.mark.parametrize("target", ["local", "git"])
def test_a_release_elsewhere_has_to_say_where(kfp, cluster, case, target):
    with pytest.raises(LooplineError, match=f"target {target} needs a target_uri"):
        start(cluster, "release", case, {"target": target})
    assert kfp.runs == []
