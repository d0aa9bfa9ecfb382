"""The health of pods, from their status in the Kubernetes API."""

from collections.abc import Sequence

from loopline.components.io import pod_status
from loopline.components.io.pod_status import Pod

# A pod that crashes on start will not become ready either.
NEVER_READY = pod_status.CANNOT_START | {"CrashLoopBackOff"}


def is_ready(pod: Pod) -> bool:
    """Whether the pod is ready, and so gets requests."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def restarts(pod: Pod) -> int:
    """The highest restart count of its containers."""
    return max((status.get("restartCount", 0) for status in pod_status.containers(pod)), default=0)


def trouble(pods: Sequence[Pod]) -> str | None:
    """Why one of them will never become ready, in Kubernetes' words; None if that is not known."""
    return next(filter(None, (pod_status.blocked_container(pod, NEVER_READY) for pod in pods)), None)
