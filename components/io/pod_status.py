"""What the status of a Pod says of its containers."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

Pod = Mapping[str, Any]
# Reasons of a waiting container that no waiting ends. The kubelet retries a pull, and says ErrImagePull and
# ImagePullBackOff in turns: somebody has to push the image first.
CANNOT_START = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
    }
)


def blocked_container(pod: Pod, reasons: AbstractSet[str] = CANNOT_START) -> str | None:
    """The first container that waits for one of these reasons, with its message; None if there is none."""
    for container in containers(pod):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in reasons:
            message = f" ({waiting['message']})" if waiting.get("message") else ""
            return f"container {container['name']} is in {waiting['reason']}{message}"
    return None


def ended_at(pod: Pod) -> str:
    """When its first container ended, in RFC 3339; empty if none has."""
    return min((str(end["finishedAt"]) for end in _terminated(pod) if end.get("finishedAt")), default="")


def termination_message(pod: Pod) -> str:
    """What an ended container left as its message or, failing that, its reason; empty if there is nothing."""
    return next((str(end.get("message") or end.get("reason") or "") for end in _terminated(pod)), "")


def containers(pod: Pod) -> list[dict[str, Any]]:
    """Its container statuses."""
    return list(pod.get("status", {}).get("containerStatuses") or [])


def _terminated(pod: Pod) -> list[dict[str, Any]]:
    states = [(container.get("state") or {}).get("terminated") for container in containers(pod)]
    return [ended for ended in states if ended]
