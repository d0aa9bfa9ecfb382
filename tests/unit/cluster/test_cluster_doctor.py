"""`loopline doctor`, and what `submit` looks at first: each thing that can be wrong is one sentence."""

import copy
import dataclasses
import io
import json
import subprocess
import sys

import pytest
from rich.console import Console
from typer.testing import CliRunner

from loopline.checks import CheckResult
from loopline.cli.app import app
from loopline.cluster import doctor, stage_pods
from loopline.cluster.gpu_pool import gpu_pool
from loopline.cluster.kfp_client import KfpClient
from loopline.cluster.kube import Kube
from loopline.cluster.needs import IMAGE_LABEL, images
from loopline.cluster.settings import Cluster
from loopline.components.errors import LooplineError
from loopline.components.io.kubernetes_errors import NotPermittedError, UnreachableError
from loopline.images import catalogue, code
from loopline.images.builder import Builder
from loopline.local import machine
from tests.loopback_server import kubeconfig, status
from tests.unit.cluster.fake_http import FakeHttp

NAMESPACE = "/api/v1/namespaces/loopline"
QUEUES = "/apis/kueue.x-k8s.io/v1beta2/clusterqueues"


class FakeKubernetes(FakeHttp):
    """Objects by path; of others it says that there are none."""

    missing = 404, status(404, "not found", "name")


def secret(*keys):
    return {"metadata": {}, "data": dict.fromkeys(keys, "eA==")}


@pytest.fixture
def kubernetes(tmp_path, monkeypatch, compiled):
    """A Kubernetes API on which all is as it should be, and a kubeconfig that leads to it."""
    with FakeKubernetes() as fake:
        fake.answers = {
            NAMESPACE: {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}},
            f"{NAMESPACE}/secrets/loopline-s3": secret(*stage_pods.S3),
            f"{NAMESPACE}/secrets/loopline-mlflow": secret(*stage_pods.MLFLOW),
            f"{NAMESPACE}/secrets/loopline-redis": secret(*stage_pods.REDIS),
            f"{NAMESPACE}/configmaps/loopline-object-store": secret(*stage_pods.OBJECT_STORE),
            "/api/v1/nodes": {"items": []},
            QUEUES: {"items": []},
        }
        fake.answers |= {
            f"/apis/pipelines.kubeflow.org/v2beta1/namespaces/loopline/pipelineversions/{v['metadata']['name']}": v
            for v in compiled.values()
        }
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(fake, tmp_path / "kubeconfig", "default")))
        yield fake


@pytest.fixture
def registry():
    """An image registry that holds every stage's image of this code."""
    with FakeHttp() as fake:
        for stage in catalogue.STAGES:
            name = f"/v2/acme/loopline-{stage}"
            labels = {IMAGE_LABEL: code.interface_digest(stage)}
            fake.answers[f"{name}/manifests/0.1.0"] = {"manifests": [{"digest": "sha256:1"}]}
            fake.answers[f"{name}/manifests/sha256:1"] = {"config": {"digest": "sha256:2"}}
            fake.answers[f"{name}/blobs/sha256:2"] = {"config": {"Labels": labels}}
        yield fake


@pytest.fixture
def version(kfp, registry, cluster):
    """The training pipeline's version, its images in the fake registry."""
    held = next(v for v in kfp.versions if v.name.startswith("flights-training"))
    text = json.dumps(held.pipeline_spec)
    host = registry.address.removeprefix("http://")
    held.pipeline_spec = json.loads(text.replace('"image": "loopline-', f'"image": "{host}/acme/loopline-'))
    return KfpClient(cluster).version("flights-training")


def failures(results):
    return [result.message for result in results if result.status == "failed"]


def refused(cluster, version):
    with pytest.raises(LooplineError) as caught:
        doctor.require_ready(cluster, version)
    return str(caught.value)


def test_all_is_well(kubernetes, registry, cluster, version):
    doctor.require_ready(cluster, version)
    assert any(path.endswith("/blobs/sha256:2") for path in registry.requests)


def test_a_missing_secret(kubernetes, cluster, version):
    del kubernetes.answers[f"{NAMESPACE}/secrets/loopline-mlflow"]
    said = refused(cluster, version)
    assert (
        "there is no Secret loopline-mlflow in namespace loopline; create it with the keys MLFLOW_TRACKING_PASS" in said
    )


def test_a_secret_without_a_key(kubernetes, cluster, version):
    kubernetes.answers[f"{NAMESPACE}/secrets/loopline-s3"] = secret("AWS_ACCESS_KEY_ID")
    assert "Secret loopline-s3 in namespace loopline lacks the keys AWS_SECRET_ACCESS_KEY" in refused(cluster, version)


def test_an_image_that_was_not_pushed(kubernetes, registry, cluster, version):
    del registry.answers["/v2/acme/loopline-training/manifests/0.1.0"]
    said = refused(cluster, version)
    assert "loopline-training:0.1.0 of version flights-training-" in said
    assert "is not in its registry; run `make images` and `loopline push`" in said


def test_an_image_of_another_code_revision(kubernetes, registry, cluster, version):
    registry.answers["/v2/acme/loopline-data/blobs/sha256:2"]["config"]["Labels"][IMAGE_LABEL] = "sha256:other"
    assert "was compiled at another code revision than the image" in refused(cluster, version)


def test_a_registry_that_only_the_nodes_reach_is_said_once_and_stops_nobody(kubernetes, cluster, version):
    away = tuple(f"127.0.0.1:9/acme/loopline-{stage}:1" for stage in ("data", "training"))
    version = dataclasses.replace(version, images=away)
    (result,) = images(Kube("loopline"), version)
    assert result.status == "skipped"
    assert "the registry 127.0.0.1:9 cannot be reached" in result.message
    doctor.require_ready(cluster, version)


def test_kubernetes_that_is_away_is_asked_once(tmp_path, kubernetes):
    kubernetes.close()
    kube = Kube("loopline")
    for _ in range(2):
        with pytest.raises(UnreachableError, match=r"the Kubernetes API at .* cannot be reached"):
            kube.namespace_labels()
    assert kube._unavailable


def test_a_registry_with_a_login_is_not_held_against_the_image(kubernetes, registry, cluster, version):
    registry.refuse = lambda headers: 401
    doctor.require_ready(cluster, version)


def test_a_gpu_request_without_a_pool(kubernetes, settings, version):
    pool = Cluster.read(settings(gpu={"gpus": 2, "node_selector": {"pool": "gpu"}}))
    said = refused(pool, version)
    assert (
        "training requests 2 nvidia.com/gpu on nodes with pool=gpu; no node has them whose taints it tolerates, and"
        in said
    )


def node(gpus, taints=(), **labels):
    return {
        "metadata": {"labels": labels},
        "spec": {"taints": list(taints)},
        "status": {"allocatable": {"cpu": "8", "nvidia.com/gpu": str(gpus)}},
    }


TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
EXISTS = {"key": "nvidia.com/gpu", "operator": "Exists"}
EQUAL = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("nodes", "tolerations", "fits"),
    [
        ([node(2, pool="gpu")], [], True),
        ([node(1, pool="gpu")], [], False),
        ([node(2, pool="other")], [], False),
        ([node(2, [TAINT], pool="gpu")], [], False),
        ([node(2, [TAINT], pool="gpu")], [EXISTS], True),
        ([node(2, [TAINT], pool="gpu")], [EQUAL], True),
        ([node(2, [TAINT], pool="gpu")], [{**EQUAL, "value": "absent"}], False),
        ([node(2, [TAINT], pool="gpu")], [{**EQUAL, "effect": "NoExecute"}], False),
        ([node(2, [{**TAINT, "effect": "PreferNoSchedule"}], pool="gpu")], [], True),
        ([node(2, pool="other"), node(4, pool="gpu")], [], True),
    ],
)
def test_nodes_of_a_pool(kubernetes, settings, nodes, tolerations, fits):
    kubernetes.answers["/api/v1/nodes"] = {"items": nodes}
    pool = Cluster.read(settings(gpu={"gpus": 2, "node_selector": {"pool": "gpu"}, "tolerations": tolerations}))
    assert (gpu_pool(pool, Kube("loopline")).status == "ok") is fits


def test_a_pool_that_is_brought_up_by_a_queue(kubernetes, settings):
    resource = {"name": "nvidia.com/gpu", "nominalQuota": "8"}
    group = {"flavors": [{"name": "gpu", "resources": [{"name": "cpu", "nominalQuota": "64"}, resource]}]}
    kubernetes.answers[QUEUES] = {"items": [{"spec": {"resourceGroups": [group]}}]}
    pool = Cluster.read(settings(gpu={"gpus": 8}))
    assert gpu_pool(pool, Kube("loopline")).status == "ok"
    resource["nominalQuota"] = 4
    assert gpu_pool(pool, Kube("loopline")).status == "failed"


def test_a_pool_that_may_not_be_seen(kubernetes, settings):
    kubernetes.answers["/api/v1/nodes"] = kubernetes.answers[QUEUES] = (403, {})
    with pytest.raises(NotPermittedError, match="may not list clusterqueues: it needs a role"):
        gpu_pool(Cluster.read(settings(gpu={"gpus": 1})), Kube("loopline"))


def test_a_trainjob_asks_for_what_its_runtime_says(kubernetes, settings):
    path = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/loopline/trainingruntimes/loopline-torch"
    cluster = Cluster.read(settings(training="trainjob"))
    with pytest.raises(
        LooplineError, match="needs TrainingRuntime loopline-torch, and there is none in namespace loopline"
    ):
        gpu_pool(cluster, Kube("loopline"))
    pod = {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "4"}}}]}
    job = {"template": {"spec": {"template": {"spec": pod}}}}
    kubernetes.answers[path] = {"spec": {"template": {"spec": {"replicatedJobs": [job]}}}}
    assert "requests 4 nvidia.com/gpu" in gpu_pool(cluster, Kube("loopline")).message
    del pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]
    assert gpu_pool(cluster, Kube("loopline")).status == "skipped"


def test_examination_of_a_cluster(kubernetes, kfp, cluster, version, case):
    results = list(doctor.run_checks(cluster, case))
    subjects = {result.name: result.status for result in results}
    assert subjects["KFP"] == subjects["namespace"] == subjects["pod security"] == "ok"
    assert subjects["Secret loopline-redis"] == subjects["ConfigMap loopline-object-store"] == "ok"
    assert subjects["token"] == subjects["GPU pool"] == "skipped"
    assert subjects[f"pipeline {version.name}"] == "ok"
    assert any("no pipeline 'flights-materialisation' in namespace" in sentence for sentence in failures(results))


def test_pod_security_and_namespace(kubernetes, cluster, case):
    kubernetes.answers[NAMESPACE]["metadata"]["labels"] = {"pod-security.kubernetes.io/enforce": "baseline"}
    assert any(
        "namespace loopline enforces baseline, so" in sentence
        for sentence in failures(doctor.run_checks(cluster, case))
    )
    del kubernetes.answers[NAMESPACE]
    said = failures(doctor.run_checks(cluster, case))
    assert any("there is no namespace loopline; apply an overlay" in sentence for sentence in said)
    assert any("enforces nothing" in sentence for sentence in said)


def test_credentials_that_kubernetes_does_not_accept(kubernetes, cluster, case):
    kubernetes.refuse = lambda headers: 0 if headers["Authorization"] == "Bearer other" else 401
    found = failures(doctor.run_checks(cluster, case))
    assert any("does not accept our token (401): renew it, or log in again" in sentence for sentence in found)


def test_what_cannot_be_seen_is_said_and_not_failed(kfp, cluster, version, case):
    results = list(doctor.run_checks(cluster, case))
    states = {result.name: result for result in results}
    assert states["namespace"].status == "skipped"
    assert "there is no usable kubeconfig" in states["namespace"].message
    doctor.require_ready(cluster, version)


def test_kfp_that_does_not_answer_is_said_once(kubernetes, settings, case):
    results = list(doctor.run_checks(Cluster.read(settings(kfp__endpoint="http://127.0.0.1:9")), case))
    assert sum("cannot be reached" in sentence for sentence in failures(results)) == 1


@pytest.fixture
def command(monkeypatch):
    """The loopline command in this process; returns its result, and what it printed on one line."""

    def called(*arguments):
        output = io.StringIO()
        monkeypatch.setattr("loopline.cli.terminal.console", Console(file=output, width=160))
        result = CliRunner().invoke(app, arguments)
        return result, " ".join(output.getvalue().split())

    return called


def test_the_command_without_a_cluster(command, monkeypatch):
    monkeypatch.setattr(machine, "_lock", lambda: CheckResult("lock", "ok", "as it should be"))
    result, output = command("doctor")
    assert result.exit_code == 0, output
    assert "✓ Python: 3.11" in output
    assert "- cluster: none is given" in output


def test_the_command_fails_if_anything_is_failures(command, settings):
    result, output = command("doctor", "--cluster", str(settings(kfp__endpoint="http://127.0.0.1:9")))
    assert "✗ KFP: KFP at http://127.0.0.1:9 cannot be reached" in output
    assert isinstance(result.exception, LooplineError)
    assert "failed; the lines with ✗" in str(result.exception)


def test_submit_looks_before_it_changes_anything(command, kubernetes, kfp, settings, version):
    del kubernetes.answers[f"{NAMESPACE}/secrets/loopline-mlflow"]
    result, _ = command("submit", "training", "--cluster", str(settings()))
    assert "there is no Secret loopline-mlflow" in str(result.exception)
    assert not [request for request in kfp.requests if request.startswith("POST")]
    kubernetes.answers[f"{NAMESPACE}/secrets/loopline-mlflow"] = secret(*stage_pods.MLFLOW)
    result, output = command("submit", "training", "--cluster", str(settings()))
    assert result.exit_code == 0, result.exception
    assert f"version {version.name}) submitted" in output


def test_submit_and_follow(command, kubernetes, kfp, settings, version):
    kfp.states = [("SUCCEEDED", None)]
    result, output = command("submit", "training", "--follow", "--cluster", str(settings()))
    assert result.exit_code == 0, result.exception
    assert "succeeded" in output
    kfp.states = [("FAILED", None)]
    result, _ = command("watch", kfp.runs[0].run_id, "--cluster", str(settings()))
    assert "it ended failed" in str(result.exception)


def test_no_engine_no_java_no_kubectl(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    results = {result.name: result for result in machine.run_checks()}
    assert results["container engine"].status == results["Java"].status == results["kubectl"].status == "skipped"
    assert "there is no container engine" in results["container engine"].message
    assert "only Spark on this machine needs it" in results["Java"].message
    assert "overlays cannot be built" in results["kubectl"].message


def test_images_that_are_not_built(monkeypatch):
    built = set()
    monkeypatch.setattr("loopline.images.builder.Builder.find", lambda: Builder("podman"))
    monkeypatch.setattr("loopline.images.builder.Builder.has", lambda self, reference: reference in built)
    assert "of this code are not built (loopline-" in machine._images().message
    built.update(catalogue.reference(image) for image in catalogue.chosen([]))
    assert machine._images().status == "ok"


@pytest.mark.parametrize(
    ("said", "state"),
    [('openjdk version "17.0.21" 2026-11-17', "ok"), ('java version "1.8.0_352"', "failed"), ("", "failed")],
)
def test_java(monkeypatch, said, state):
    monkeypatch.setattr("shutil.which", lambda name, path=None: f"/usr/bin/{name}")
    monkeypatch.setattr(machine, "_first_line", lambda *command: said)
    assert machine._java().status == state


def test_another_python_and_other_packages(monkeypatch):
    monkeypatch.setattr(machine, "PYTHON", (3, 99))
    assert "Loopline needs 3.11" in machine._python().message
    monkeypatch.setattr(machine, "_installed", lambda name: "0.0.1" if name in {"kfp", "torch"} else "")
    result = machine._lock()
    assert result.status == "failed"
    assert "kfp 0.0.1 instead of 2.17.0" in result.message


def test_a_local_build_of_a_locked_version_is_that_version(monkeypatch):
    monkeypatch.setattr(machine, "_installed", lambda name: "2.13.0+cpu" if name == "torch" else "")
    assert machine._lock().status == "ok"


def test_other_commands_do_not_pay_for_kfp():
    script = (
        "import sys, loopline.cli.app\n"
        "print([name for name in ('kfp', 'kfp_server_api', 'kubernetes') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_compiled_annotations_are_of_this_code(compiled):
    for version in compiled.values():
        for key, value in version["metadata"]["annotations"].items():
            assert value == code.interface_digest(key.rpartition("-")[2])
    assert copy.deepcopy(compiled) == compiled
