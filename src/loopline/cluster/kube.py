"""What the checks of a cluster read from its Kubernetes API. Nothing is written."""

import dataclasses
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

from loopline.components.io.kubernetes_api import CONFIG_MAPS, KubernetesApi, Resource
from loopline.components.io.kubernetes_errors import NoClusterError, UnknownResourceError, UnreachableError
from loopline.components.training.kubernetes_api import TRAINING_RUNTIMES

NAMESPACES = Resource("", "v1", "namespaces", namespaced=False)
NODES = Resource("", "v1", "nodes", namespaced=False)
SECRETS = Resource("", "v1", "secrets")
CLUSTER_QUEUES = Resource("kueue.x-k8s.io", "v1beta2", "clusterqueues", namespaced=False)
PIPELINE_VERSIONS = Resource("pipelines.kubeflow.org", "v2beta1", "pipelineversions")

T = TypeVar("T")


class Kube:
    """The Kubernetes API of this pod's cluster, or of the kubeconfig's.

    Every method raises NotPermittedError where this account may not read something, NoClusterError and UnreachableError
    where there is no API to read from, and LooplineError for any other error.

    Args:
        namespace: where our objects are.
    """

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._unavailable: NoClusterError | UnreachableError | None = None

    def namespace_labels(self) -> dict[str, str] | None:
        """Labels of the namespace; None if it does not exist."""
        found = self._get(NAMESPACES, self.namespace)
        return None if found is None else dict(found["metadata"].get("labels") or {})

    def secret_keys(self, name: str) -> set[str] | None:
        """The keys that a Secret holds; None if it does not exist."""
        found = self._get(SECRETS, name)
        return None if found is None else set(found.get("data") or {})

    def config_map_keys(self, name: str) -> set[str] | None:
        """The keys that a ConfigMap holds; None if it does not exist."""
        found = self._get(CONFIG_MAPS, name)
        return None if found is None else set(found.get("data") or {})

    def version_annotations(self, name: str) -> dict[str, str] | None:
        """Annotations of a PipelineVersion; None if it does not exist."""
        found = self._get(PIPELINE_VERSIONS, name)
        return None if found is None else dict(found["metadata"].get("annotations") or {})

    def training_runtime_pod(self, name: str) -> dict[str, Any] | None:
        """The first pod specification of a TrainingRuntime; None if there is no such runtime."""
        found = self._get(TRAINING_RUNTIMES, name)
        if found is None:
            return None
        jobs = found["spec"]["template"]["spec"]["replicatedJobs"]
        return dict(jobs[0]["template"]["spec"]["template"]["spec"])

    def nodes(self) -> list[dict[str, Any]]:
        """All nodes."""
        return self._list(NODES)

    def cluster_queues(self) -> list[dict[str, Any]]:
        """Kueue's ClusterQueues; none where Kueue is not installed."""
        return self._list(CLUSTER_QUEUES)

    def _get(self, resource: Resource, name: str) -> dict[str, Any] | None:
        return self._read(lambda: self._api.get(resource, name))

    def _list(self, resource: Resource) -> list[dict[str, Any]]:
        return self._read(lambda: self._api.list_objects(resource)) or []

    def _read(self, request: Callable[[], T]) -> T | None:
        """The result of a request; None where its resource is not installed."""
        if self._unavailable:  # one timeout is enough
            raise self._unavailable
        try:
            return request()
        except UnknownResourceError:
            return None
        except (NoClusterError, UnreachableError) as error:
            self._unavailable = error
            raise

    @cached_property
    def _api(self) -> KubernetesApi:
        connected = KubernetesApi.connect(
            role="a role that permits it",
            install="install it",
            without_cluster="no Kubernetes API: this is not a pod, and there is no usable kubeconfig",
        )
        return dataclasses.replace(connected, namespace=self.namespace)
