"""Training in a TrainJob: the whole way over a Kubernetes API that runs torchrun, and every refusal on that way."""

import json
import os
import shutil
import signal
import threading
import time
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from loopline.components.contract import cluster_job, usecase
from loopline.components.contract.dataset import Dataset
from loopline.components.errors import LooplineError
from loopline.components.io import storage
from loopline.components.training import run_trainjob, trainjob, trainjob_watch, weights
from loopline.components.training.target import shared_folder, train_on
from loopline.components.training.train import train
from tests.loopback_server import kubeconfig, status
from tests.unit.training.conftest import make_rows
from tests.unit.training.fake_kubernetes import FakeKubernetes
from tests.unit.training.torchrun_controller import PROJECT, TorchrunController

RUNTIME = PROJECT / "manifests" / "training" / "training-runtime.yaml"
SCHEMAS = Path(os.environ.get("LOOPLINE_SCHEMAS", PROJECT.parent / "shared" / "schemas"))


@pytest.fixture
def api(tmp_path, monkeypatch):
    """A cluster with our TrainingRuntime, which the kubeconfig names."""
    fake = FakeKubernetes(yaml.safe_load(RUNTIME.read_text()))
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(fake, tmp_path / "kubeconfig")))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
    monkeypatch.setattr(trainjob_watch, "POLL", 0.02)
    yield fake
    fake.close()


@pytest.fixture
def training(make_usecase, write_examples, tmp_path):
    """A function that trains on nodes, and waits no longer than a test may."""
    name, learned = make_usecase(), write_examples(make_rows(300))

    def run(store="", tracking=""):
        store = store or f"{tmp_path.as_uri()}/store"
        return run_trainjob.run_trainjob(name, learned, tmp_path / "brought" / "weights", tracking, store)

    run.usecase, run.examples, run.weights = name, learned, tmp_path / "brought" / "weights"
    run.name = trainjob.name_of(usecase.load(name), Dataset.open(learned).digest, "")
    return run


@pytest.fixture
def finished(training, tmp_path):
    """A controller that completes each job with weights that a training here has made."""
    made = tmp_path / "made"
    train(training.usecase, training.examples, made, "")

    def controller(api, job):
        [place] = [a.removeprefix("--weights=") for a in job["spec"]["trainer"]["args"] if a.startswith("--weights=")]
        storage.put(made, place)
        api.set_condition(job["metadata"]["name"], "Complete")

    return controller


def failing(reason="FailedJobs", message="jobset failed", **pod):
    def controller(api, job):
        if pod:
            api.add_pod(job["metadata"]["name"], phase="Failed", **pod)
        api.set_condition(job["metadata"]["name"], "Failed", reason, message)

    return controller


def tensors(path):
    return load_file(path / "weights.safetensors")


@pytest.mark.parametrize(("place", "shape"), [("file", (1, 2)), ("s3", (2, 1))], ids=["file-1x2", "s3-2x1"])
def test_nodes_and_processes_give_the_model_of_one_process(place, shape, api, training, tmp_path, request, capsys):
    store = f"{tmp_path.as_uri()}/store" if place == "file" else f"{request.getfixturevalue('bucket')}/training"
    api.controller = TorchrunController(tmp_path, *shape)
    tracking = f"sqlite:///{tmp_path / 'mlflow.db'}" if place == "file" else ""
    figures = training(store, tracking)
    alone = train(training.usecase, training.examples, tmp_path / "alone", "")
    assert figures == pytest.approx(alone, rel=1e-3)
    assert tensors(training.weights).keys() == tensors(tmp_path / "alone").keys()
    for key, value in tensors(tmp_path / "alone").items():
        np.testing.assert_allclose(tensors(training.weights)[key], value, rtol=1e-3, atol=1e-4, err_msg=key)
    assert api.jobs() == []
    assert "progress: epoch" in capsys.readouterr().out
    tracked = weights.load(training.weights, usecase.load(training.usecase)).provenance["tracking_run"]
    assert [tracked] == (tracked_runs(tracking) if tracking else [""])


def tracked_runs(uri):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("learned/training").experiment_id
    return [run.info.run_id for run in client.search_runs([experiment])]


def test_a_preempted_job_goes_on_where_it_was_and_gives_the_same_bytes(api, training, tmp_path):
    """Killed between two epochs, started again by JobSet."""
    api.controller = TorchrunController(tmp_path, processes=2)
    training()
    undisturbed = tensors(training.weights)
    shutil.rmtree(tmp_path / "store")
    api.controller = TorchrunController(tmp_path, processes=2, preempt_at="progress: epoch 3", restarts=1)
    logs = []
    complete = api.set_condition
    api.set_condition = lambda name, *rest: (logs.append(dict(api.logs)), complete(name, *rest))
    training()
    assert api.controller.attempts == 2
    assert "progress: resuming after " in next(iter(logs[-1].values()))
    assert all((tensors(training.weights)[key] == value).all() for key, value in undisturbed.items())


def test_bad_labels_fail_with_the_sentence_of_the_node(api, make_usecase, write_examples, tmp_path):
    rows = make_rows(300)
    flat = rows.set_column(rows.schema.get_field_index("label"), "label", [np.zeros(300)])
    api.controller = TorchrunController(tmp_path)
    with pytest.raises(
        LooplineError, match=r"failed: every label .* is 0; there is nothing to tell apart \(FailedJobs"
    ):
        run_trainjob.run_trainjob(
            make_usecase(), write_examples(flat), tmp_path / "weights", "", f"{tmp_path.as_uri()}/store"
        )
    assert not (tmp_path / "weights").exists()
    assert len(api.jobs()) == 1  # left for a look at it


def test_the_job_says_what_and_the_runtime_where(api, training, finished):
    created = []
    api.controller = lambda api, job: (created.append(json.loads(json.dumps(job))), finished(api, job))
    training()
    [job] = created
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "cpu"
    assert job["spec"]["activeDeadlineSeconds"] == 11 * 3600
    assert job["spec"].keys() == {"runtimeRef", "activeDeadlineSeconds", "trainer"}
    assert job["spec"]["trainer"].keys() == {"args"}
    assert len(f"{job['metadata']['name']}-node-0-0-abcde") <= 63


@pytest.mark.skipif(not SCHEMAS.is_dir(), reason="no schemas: set LOOPLINE_SCHEMAS or run `make schemas`")
def test_the_job_is_one_by_the_strict_schema(training):
    from jsonschema import Draft7Validator

    schema = json.loads((SCHEMAS / "trainer.kubeflow.org" / "trainjob_v1alpha1.json").read_text())
    job = trainjob.manifest("train-a-0", yaml.safe_load(RUNTIME.read_text()), ["--usecase=a"])
    assert list(Draft7Validator(schema).iter_errors(job)) == []
    assert list(Draft7Validator(schema).iter_errors({**job, "spec": {**job["spec"], "typo": 1}}))


def test_the_same_training_has_the_same_name_and_another_another(training, monkeypatch):
    case = usecase.load(training.usecase)
    names = {trainjob.name_of(case, digest, uri) for digest in ("a", "b") for uri in ("", "http://mlflow")}
    monkeypatch.setenv("LOOPLINE_REVISION", "another")
    names.add(trainjob.name_of(case, "a", ""))
    assert len(names) == 5
    assert trainjob.name_of(case, "a", "") in names
    (case.folder / "model.py").write_text("# other code")
    assert trainjob.name_of(usecase.load(training.usecase), "a", "") not in names


def test_a_step_that_is_tried_again_finds_its_own_job(api, training, finished, capsys):
    """The job runs on while the step is away, and is done when it looks again."""
    api.objects[f"trainjobs/{training.name}"] = {"metadata": {"name": training.name}}
    threading.Timer(0.3, lambda: finished(api, job_of(training))).start()
    training()
    assert api.calls["POST trainjobs"] == 0
    assert f"waiting for the existing TrainJob {training.name}" in capsys.readouterr().out


def job_of(training):
    place = f"{training.weights.parents[1].as_uri()}/store/{training.name}/weights"
    return {"metadata": {"name": training.name}, "spec": {"trainer": {"args": [f"--weights={place}"]}}}


def test_another_step_may_be_faster(api, training, finished):
    """It creates the job after we looked; ours is refused as a duplicate, and we wait for the other."""
    api.refusals["GET trainjobs"] = [(404, status(404, "not found", training.name))]
    api.objects[f"trainjobs/{training.name}"] = job_of(training)
    threading.Timer(0.2, lambda: finished(api, job_of(training))).start()
    training()
    assert api.calls["POST trainjobs"] == 1


def test_two_steps_that_wait_for_one_job_both_get_its_weights(api, training, finished):
    """The first deletes the job; the second finds the weights."""

    def done_and_gone(api, job):
        finished(api, job)
        del api.objects[f"trainjobs/{training.name}"]

    api.controller = done_and_gone
    assert training()["rows"] == 300


def test_a_failed_job_of_an_earlier_attempt_makes_room(api, training, finished):
    api.objects[f"trainjobs/{training.name}"] = {"metadata": {"name": training.name}}
    api.set_condition(training.name, "Failed")
    api.controller = finished
    training()
    assert api.calls["DELETE trainjobs"] == 2  # the failed one, and the one that is done


def test_progress_tells_of_the_queue_the_start_and_the_epochs(api, training, finished, capsys):
    def controller(api, job):
        def go():
            name = job["metadata"]["name"]
            suspended = {"type": "Suspended", "status": "True", "reason": "Suspended", "message": "by Kueue"}
            job["status"] = {"conditions": [suspended]}
            api.be_looked_at()
            job["status"] = {}
            api.be_looked_at()
            api.add_pod(name, log="noise\nprogress: epoch 1 of at most 6, held-out loss 0.5000\nmore noise\n")
            api.set_ready(name)
            api.be_looked_at()
            finished(api, job)

        threading.Thread(target=go, daemon=True).start()

    api.controller = controller
    training()
    told = [line for line in capsys.readouterr().out.splitlines() if "TrainJob" in line or "loss 0.5000" in line]
    assert told == [
        f"progress: TrainJob {training.name}: waiting in queue cpu",
        f"progress: TrainJob {training.name}: waiting for nodes to start",
        "progress: epoch 1 of at most 6, held-out loss 0.5000",
    ]


@pytest.mark.parametrize(
    ("pod", "sentence"),
    [
        (
            {"log": "a\nerror: no room for it\nTraceback of torchrun\n"},
            "failed: no room for it (FailedJobs: jobset failed)",
        ),
        ({"log": "one\nCUDA out of memory\n\n"}, "failed: CUDA out of memory (FailedJobs"),
        ({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}, "failed: OOMKilled (FailedJobs"),
        ({"terminated": {"exitCode": 1, "message": "x\nlast words\n"}}, "failed: last words (FailedJobs"),
        ({}, "failed: it left no log (FailedJobs: jobset failed)"),
    ],
)
def test_a_failure_is_told_by_the_best_witness(pod, sentence, api, training):
    api.controller = failing(**pod)
    with pytest.raises(LooplineError) as failure:
        training()
    assert sentence in str(failure.value)


def test_the_node_that_failed_first_is_believed(api, training):
    def controller(api, job):
        name = job["metadata"]["name"]
        late = {"exitCode": 1, "finishedAt": "2026-01-01T00:00:09Z"}
        early = {"exitCode": 1, "finishedAt": "2026-01-01T00:00:01Z"}
        api.add_pod(name, 0, "Failed", log="Connection closed by peer\n", terminated=late)
        api.add_pod(name, 1, "Failed", log="error: the disk is full\n", terminated=early)
        api.set_condition(name, "Failed")

    api.controller = controller
    with pytest.raises(LooplineError, match="the disk is full"):
        training()


@pytest.mark.parametrize(
    ("call", "answer", "sentence"),
    [
        (
            "GET trainingruntimes",
            (404, "404 page not found\n"),
            "this cluster has no trainingruntimes: install Kubeflow",
        ),
        ("GET trainingruntimes", (401, status(401, "Unauthorized")), "does not accept our token \\(401\\)"),
        (
            "GET trainingruntimes",
            (403, status(403, "forbidden: no")),
            "may not get trainingruntimes in namespace loopline",
        ),
        ("POST trainjobs", (403, status(403, "forbidden: no")), "may not create trainjobs .* Role loopline-trainjobs"),
        ("POST trainjobs", (404, "404 page not found\n"), "this cluster has no trainjobs"),
        (
            "POST trainjobs",
            (422, status(422, 'admission webhook "v.trainjob" denied the request: must not')),
            "refuses to create trainjobs in namespace loopline: admission webhook .* must not",
        ),
        (
            "POST trainjobs",
            (400, status(400, "unknown field spec.x")),
            "refuses to create trainjobs in namespace loopline: unknown field spec.x",
        ),
        ("POST trainjobs", (500, status(500, "webhook timed out")), "cannot answer now: 500 webhook timed out"),
        ("GET trainjobs", (500, "no JSON"), "cannot answer now: 500"),
        ("GET trainjobs", (403, "[]"), "may not get trainjobs"),
    ],
)
def test_refusals_are_one_sentence(call, answer, sentence, api, training):
    api.refusals[call] = [answer]
    with pytest.raises(LooplineError, match=sentence):
        training()
    assert api.jobs() == []
    assert not training.weights.exists()


def test_no_runtime(api, training):
    api.objects.clear()
    with pytest.raises(
        LooplineError, match=r"no TrainingRuntime loopline-torch in namespace loopline; apply an overlay"
    ):
        training()
    assert not (training.weights.parents[1] / "store").exists()  # nothing was put


@pytest.mark.parametrize("annotations", [{}, {cluster_job.DEADLINE: "soon"}])
def test_a_runtime_without_a_deadline(annotations, api, training):
    api.objects["trainingruntimes/loopline-torch"]["metadata"]["annotations"] = annotations
    with pytest.raises(LooplineError, match="annotate it with a duration"):
        training()
    assert api.jobs() == []


def test_an_api_that_is_away_for_a_while_is_waited_for(api, training, finished):
    def controller(api, job):
        def go():
            time.sleep(0.1)
            api.away = True
            time.sleep(0.3)
            api.away = False
            api.refusals["GET trainjobs"] = [(503, "starting"), (429, status(429, "too many requests"))]
            finished(api, job)

        threading.Thread(target=go, daemon=True).start()

    api.controller = controller
    assert training()["rows"] == 300


def test_an_api_that_stays_away_leaves_the_job_running(api, training, monkeypatch):
    monkeypatch.setattr(trainjob_watch, "API_AWAY", timedelta(seconds=0.2))
    api.controller = lambda api, job: setattr(api, "away", True)
    api.away = False
    with pytest.raises(LooplineError, match=r"cannot be reached.*"):
        training()
    assert len(api.jobs()) == 1


def test_no_api_at_all(api, training):
    api.away = True
    with pytest.raises(LooplineError, match=r"the Kubernetes API at http://127.0.0.1:\d+ cannot be reached"):
        training()


def test_a_job_that_someone_deletes(api, training):
    api.controller = lambda api, job: threading.Timer(0.2, api.objects.clear).start()
    with pytest.raises(LooplineError, match="was deleted while it was waited for; run the step again"):
        training()


def test_a_job_that_takes_too_long_is_deleted(api, training):
    api.objects["trainingruntimes/loopline-torch"]["metadata"]["annotations"] = {cluster_job.DEADLINE: "1s"}
    with pytest.raises(LooplineError, match=r"not done in 0:00:01 \(waiting for nodes to start\) and was deleted"):
        training()
    assert api.jobs() == []


def test_an_image_that_was_not_pushed(api, training, monkeypatch):
    monkeypatch.setattr(trainjob_watch, "NOT_STARTING", timedelta(seconds=0.2))
    back_off = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "r/loopline-training:9"'}
    api.controller = lambda api, job: api.add_pod(job["metadata"]["name"], phase="Pending", waiting=back_off)
    with pytest.raises(
        LooplineError,
        match=r'cannot start, and was deleted: container node is in ImagePullBackOff .*"r/loopline-training:9"',
    ):
        training()
    assert api.jobs() == []


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_cancelled_step_deletes_its_job(how, api, training, request):
    # A shell starts what runs in its background with SIGINT ignored, and so with it these tests.
    request.addfinalizer(partial(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT)))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    api.controller = lambda api, job: threading.Timer(0.2, lambda: os.kill(os.getpid(), how)).start()
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(LooplineError, match=r"the step was cancelled, and TrainJob train-learned-.* was deleted"):
        training()
    assert api.jobs() == []
    assert signal.getsignal(signal.SIGTERM) is before


def test_no_cluster(training, tmp_path, monkeypatch):
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(LooplineError, match="this is not a pod and has no kubeconfig; use target pod"):
        training()


def test_targets(training, tmp_path, monkeypatch):
    here = train_on("pod", training.usecase, training.examples, tmp_path / "here", "")
    assert here["rows"] == 300
    with pytest.raises(LooplineError, match="there is no training target 'gpu'; there are pod, trainjob"):
        train_on("gpu", training.usecase, training.examples, tmp_path / "there", "")
    monkeypatch.delenv("LOOPLINE_BUCKET", raising=False)
    with pytest.raises(LooplineError, match="LOOPLINE_BUCKET is not set"):
        train_on("trainjob", training.usecase, training.examples, tmp_path / "there", "")
    monkeypatch.setenv("LOOPLINE_BUCKET", "ours")
    assert shared_folder() == "s3://ours/training"


def test_the_name_changes_with_the_code_below_the_contract(training, tmp_path, monkeypatch):
    from loopline.components import io

    case = usecase.load(training.usecase)
    name = trainjob.name_of(case, "a", "")
    (tmp_path / "io").mkdir()
    (tmp_path / "io" / "storage.py").write_text("another = True\n")
    monkeypatch.setattr(io, "__path__", [str(tmp_path / "io")])
    assert trainjob.name_of(case, "a", "") != name
