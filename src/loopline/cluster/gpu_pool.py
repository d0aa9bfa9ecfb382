"""Check that a cluster has the GPUs that training requests."""

from typing import Any

from loopline.checks import CheckResult
from loopline.cluster.kube import Kube
from loopline.cluster.settings import Cluster
from loopline.components.errors import LooplineError
from loopline.components.io.kubernetes_errors import NotPermittedError
from loopline.components.training.trainjob import RUNTIME

GPU = "nvidia.com/gpu"


def gpu_pool(cluster: Cluster, kube: Kube) -> CheckResult:
    """Check that nodes have the GPUs that training requests, or that a Kueue queue may bring them up.

    Raises:
        NotPermittedError: this account may read neither nodes nor queues.
    """
    check = "GPU pool"
    count, selector, tolerations = _request(cluster, kube)
    if not count:
        return CheckResult(check, "skipped", "training requests no GPU")
    request = f"training requests {count} {GPU}" + (f" on nodes with {_pairs(selector)}" if selector else "")
    try:
        nodes = [node for node in kube.nodes() if _fits(node, count, selector, tolerations)]
    except NotPermittedError:
        nodes = []
        if not kube.cluster_queues():
            raise
    if nodes:
        return CheckResult(check, "ok", f"{request}; {len(nodes)} nodes have them")
    quota = max((_gpu_quota(queue) for queue in kube.cluster_queues()), default=0)
    if quota >= count:
        return CheckResult(check, "ok", f"{request}; no node has them now, and a Kueue queue has a quota of {quota}")
    return CheckResult(
        check,
        "failed",
        f"{request}; no node has them whose taints it tolerates, and no Kueue queue has that quota; add a GPU pool, "
        "or leave the component gpu-training out of the overlay",
    )


def _request(cluster: Cluster, kube: Kube) -> tuple[int, dict[str, str], list[dict[str, Any]]]:
    """How many GPUs training requests, with which node selector and tolerations."""
    if cluster.training == "pod":
        if cluster.gpu is None:
            return 0, {}, []
        parameters = cluster.gpu.parameters()
        return cluster.gpu.gpus, parameters["node_selector"], parameters["tolerations"]
    pod = kube.training_runtime_pod(RUNTIME)
    if pod is None:
        raise LooplineError(
            f"training: trainjob needs TrainingRuntime {RUNTIME}, and there is none in namespace "
            f"{kube.namespace}; apply manifests/training, or set training: pod in the settings of the cluster"
        )
    limits = pod["containers"][0].get("resources", {}).get("limits", {})
    return int(limits.get(GPU, 0)), pod.get("nodeSelector", {}), pod.get("tolerations", [])


def _fits(node: dict[str, Any], count: int, selector: dict[str, str], tolerations: list[dict[str, Any]]) -> bool:
    labels = node["metadata"].get("labels", {})
    taints = [t for t in node.get("spec", {}).get("taints", []) if t.get("effect") in {"NoSchedule", "NoExecute"}]
    return (
        int(node.get("status", {}).get("allocatable", {}).get(GPU, 0)) >= count
        and all(labels.get(key) == value for key, value in selector.items())
        and all(any(_tolerates(toleration, taint) for toleration in tolerations) for taint in taints)
    )


def _tolerates(toleration: dict[str, Any], taint: dict[str, Any]) -> bool:
    if toleration.get("effect") not in {None, "", taint.get("effect")}:
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return toleration.get("key") in {None, "", taint["key"]}
    return (toleration.get("key"), toleration.get("value", "")) == (taint["key"], taint.get("value", ""))


def _gpu_quota(queue: dict[str, Any]) -> int:
    return max(
        (
            int(resource.get("nominalQuota", 0))
            for group in queue.get("spec", {}).get("resourceGroups", [])
            for flavor in group.get("flavors", [])
            for resource in flavor.get("resources", [])
            if resource.get("name") == GPU
        ),
        default=0,
    )


def _pairs(values: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(values.items()))
