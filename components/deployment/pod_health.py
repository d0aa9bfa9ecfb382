"""How pods fare, from what the Kubernetes API says of them."""

from collections.abc import Mapping, Sequence
from typing import Any

Pod = Mapping[str, Any]
# Reasons to wait that no waiting will mend.
HOPELESS = frozenset(
    {"CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "CreateContainerConfigError"}
)


def is_ready(pod: Pod) -> bool:
    """Whether it gets requests."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def restarts(pod: Pod) -> int:
    """How often its container was restarted that was so most often."""
    return max((status.get("restartCount", 0) for status in _containers(pod)), default=0)


def trouble(pods: Sequence[Pod]) -> str | None:
    """Why one of them will not become ready, in Kubernetes' words; None if there is no such reason."""
    for pod in pods:
        for status in _containers(pod):
            waiting = status.get("state", {}).get("waiting", {})
            if waiting.get("reason") in HOPELESS:
                message = f" ({waiting['message']})" if waiting.get("message") else ""
                return f"container {status['name']} is in {waiting['reason']}{message}"
    return None


def _containers(pod: Pod) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pod.get("status", {}).get("containerStatuses", [])
    return found
