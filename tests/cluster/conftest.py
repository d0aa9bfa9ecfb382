"""The overlay in a namespace of its own on whatever cluster KUBECONFIG points at; gone again afterwards."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import kubernetes
from tests.cluster.secrets import random_secrets
from tests.manifests.findings import CLUSTER_SCOPED
from tests.manifests.render import PROJECT, render

OVERLAY = os.environ.get("LOOPLINE_OVERLAY", "local")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of this folder where there is no cluster, and say why."""
    ours = [item for item in items if Path(__file__).parent in item.path.parents and "applied" in item.fixturenames]
    reason = kubernetes.why_not() if ours else None
    for item in ours:
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


def moved(objects: list[dict[str, Any]], namespace: str) -> list[dict[str, Any]]:
    """The objects of an overlay in another namespace."""

    def in_it(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: in_it(part, name) for name, part in value.items()}
        if isinstance(value, list):
            return [in_it(part) for part in value]
        if key == "namespace" and value == "loopline":
            return namespace
        return value

    done = in_it(objects)
    for item in done:
        if item["kind"] == "Namespace":
            item["metadata"]["name"] = namespace
    return done


@pytest.fixture(scope="session")
def applied() -> Iterator[str]:
    """The namespace that the overlay was applied to."""
    namespace = f"loopline-test-{secrets.token_hex(3)}"
    objects = moved(render(PROJECT / "kustomize/overlays" / OVERLAY), namespace)
    shared = [item for item in objects if item["kind"] in CLUSTER_SCOPED and item["kind"] != "Namespace"]
    ours = [item for item in shared if kubernetes.get(item["kind"], item["metadata"]["name"], namespace) is None]
    try:
        kubernetes.apply([item for item in objects if item["kind"] == "Namespace"])
        if not any(item["kind"] == "ExternalSecret" for item in objects):
            kubernetes.apply(random_secrets(namespace))
        kubernetes.apply(ours)
        kubernetes.apply([item for item in objects if item not in shared])
        yield namespace
    finally:
        kubernetes.run("delete", "namespace", namespace, "--ignore-not-found", "--timeout", "300s", timeout=330)
        for item in ours:
            kubernetes.run("delete", item["kind"], item["metadata"]["name"], "--ignore-not-found")
