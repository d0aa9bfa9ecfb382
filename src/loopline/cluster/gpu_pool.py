"""Whether a cluster has the GPUs that training asks for."""

from typing import Any

from loopline.checks import CheckResult
from loopline.cluster.kube import Kube
from loopline.cluster.settings import Cluster
from loopline.components.errors import LooplineError
from loopline.components.io.kubernetes_errors import NotPermittedError

GPU = "nvidia.com/gpu"


def gpu_pool(cluster: Cluster, kube: Kube) -> CheckResult:
    """Whether a pool can give the GPUs that training asks for.

    Raises:
        NotPermittedError: neither nodes nor queues can be seen.
    """
    subject = "GPU pool"
    count, selector, tolerations = _demand(cluster, kube)
    if not count:
        return CheckResult(subject, "skipped", "training asks for no GPU here")
    asked = f"training asks for {count} {GPU}" + (f" on nodes with {_pairs(selector)}" if selector else "")
    try:
        fitting = [node for node in kube.nodes() if _fits(node, count, selector, tolerations)]
    except NotPermittedError:
        fitting = []
        if not kube.cluster_queues():
            raise
    if fitting:
        return CheckResult(subject, "ok", f"{asked}; {len(fitting)} nodes have them")
    quota = max((_gpu_quota(queue) for queue in kube.cluster_queues()), default=0)
    if quota >= count:
        return CheckResult(subject, "ok", f"{asked}; no node has them now, and a Kueue queue may bring up to {quota}")
    return CheckResult(
        subject,
        "failed",
        f"{asked}, and there is no such node that it tolerates and no Kueue queue with that quota; add a GPU pool, "
        "or leave the component gpu-training out of the overlay",
    )


def _demand(cluster: Cluster, kube: Kube) -> tuple[int, dict[str, str], list[dict[str, Any]]]:
    """How many GPUs training asks for, on which nodes, tolerating what."""
    if cluster.training == "pod":
        if cluster.gpu is None:
            return 0, {}, []
        asked = cluster.gpu.parameters()
        return cluster.gpu.gpus, asked["node_selector"], asked["tolerations"]
    pod = kube.training_runtime_pod("loopline-torch")
    if pod is None:
        raise LooplineError(
            "training is to be a TrainJob and there is no TrainingRuntime loopline-torch in namespace "
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
