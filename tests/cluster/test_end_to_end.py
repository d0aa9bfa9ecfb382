"""On a real cluster: the installation comes up, refuses what it must, trains, predicts, and fires a schedule."""

import re
from typing import Any

import pytest

from tests.cluster import kubernetes
from tests.cluster.kubernetes import KubectlError, until
from tests.manifests.render import named

MINUTES = 60.0
SERVERS = (
    ("statefulset", "postgres"),
    ("statefulset", "redis"),
    ("statefulset", "object-store"),
    ("deployment", "mlflow"),
)
SCHEDULE = "flights-batch-inference"


def submitted(namespace: str, pipeline: str) -> dict[str, Any]:
    """A Workflow as a schedule would make it, for any pipeline and now: the same small pod runs ``loopline submit``."""
    schedule = kubernetes.get("cronworkflow", SCHEDULE, namespace)
    assert schedule
    [version] = [
        item["metadata"]["name"]
        for item in kubernetes.find("pipelineversion", namespace)
        if item["spec"]["pipelineName"] == f"flights-{pipeline}"
    ]
    spec = schedule["spec"]["workflowSpec"]
    [template] = [template for template in spec["templates"] if template["name"] == spec["entrypoint"]]
    template["container"]["args"] = [
        "submit", pipeline, "--usecase", "loopline.usecases.flights", "--version", version, "--follow",
    ]  # fmt: skip
    name = f"test-{pipeline}"
    kubernetes.apply(
        [
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Workflow",
                "metadata": {"name": name, "namespace": namespace},
                "spec": spec,
            }
        ]
    )
    return ended(namespace, name)


def ended(namespace: str, workflow: str) -> dict[str, Any]:
    """A Workflow once it has ended, which has to be well."""

    def ask() -> dict[str, Any] | None:
        found = kubernetes.get("workflow", workflow, namespace) or {}
        return found if found.get("status", {}).get("phase") in ("Succeeded", "Failed", "Error") else None

    found = until(f"workflow {workflow} ended", ask, 60 * MINUTES, every=10)
    status = found["status"]
    pods = kubernetes.find("pod", namespace, f"workflows.argoproj.io/workflow={workflow}")
    logs = [kubernetes.run("logs", pod["metadata"]["name"], "--namespace", namespace, "-c", "main") for pod in pods]
    assert status["phase"] == "Succeeded", (status.get("message"), *(log[-2000:] for log in logs))
    return found


@pytest.fixture(scope="module")
def up(applied: str) -> str:
    """The namespace, once its servers are ready."""
    for kind, name in SERVERS:
        if kubernetes.get(kind, name, applied):
            kubernetes.run("rollout", "status", kind, name, "--namespace", applied, "--timeout", "300s", timeout=330)
    return applied


@pytest.fixture(scope="module")
def champion(up: str) -> str:
    """The namespace, once a model was trained and passed its gates."""
    submitted(up, "training")
    submitted(up, "validation")
    return up


def test_servers_come_up(up: str) -> None:
    for kind, name in SERVERS:
        found = kubernetes.get(kind, name, up)
        if found:
            assert found["status"]["readyReplicas"] == found["spec"]["replicas"]


def test_every_pipeline_version_is_taken_by_kfp(up: str) -> None:
    for item in kubernetes.find("pipelineversion", up):
        conditions = {c["type"]: c["status"] for c in item.get("status", {}).get("conditions", [])}
        assert conditions.get("PipelineVersionStatus", "True") != "False", item["metadata"]["name"]


def test_a_privileged_pod_is_refused(up: str) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "privileged", "namespace": up},
        "spec": {"containers": [{"name": "a", "image": "busybox:1", "securityContext": {"privileged": True}}]},
    }
    with pytest.raises(KubectlError, match="violates PodSecurity"):
        kubernetes.apply([pod])


def test_the_feature_store_is_admitted(up: str) -> None:
    """Its operator's pods pass `restricted` only because of our MutatingAdmissionPolicy."""

    def ask() -> list[dict[str, Any]]:
        return kubernetes.find("pod", up, "feast.dev/name=flights")

    [pod, *_] = until("pods of the feature store", ask, 5 * MINUTES)
    for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_training_runs_and_its_model_passes_its_gates(champion: str) -> None:
    assert kubernetes.find("workflow", champion)


def test_batch_inference_writes_predictions(champion: str) -> None:
    submitted(champion, "batch-inference")
    bucket = named(kubernetes.find("configmap", champion), "ConfigMap", "loopline-object-store")["data"][
        "LOOPLINE_BUCKET"
    ]
    listing = kubernetes.run(
        "exec",
        "statefulset/object-store",
        "--namespace",
        champion,
        "--",
        "ls",
        "-R",
        f"/data/objects/{bucket}/predictions",
    )
    assert re.search(r"\.parquet$", listing, re.MULTILINE)


def test_a_schedule_fires(champion: str) -> None:
    def owned() -> list[dict[str, Any]]:
        return kubernetes.find("workflow", champion, f"workflows.argoproj.io/cron-workflow={SCHEDULE}")

    change = '{"spec": {"schedules": ["* * * * *"], "suspend": false}}'
    kubernetes.run("patch", "cronworkflow", SCHEDULE, "--namespace", champion, "--type", "merge", "--patch", change)
    try:
        [fired, *_] = until("the schedule fired", owned, 3 * MINUTES)
    finally:
        stop = '{"spec": {"suspend": true}}'
        kubernetes.run("patch", "cronworkflow", SCHEDULE, "--namespace", champion, "--type", "merge", "--patch", stop)
    assert ended(champion, fired["metadata"]["name"])["status"]["phase"] == "Succeeded"
