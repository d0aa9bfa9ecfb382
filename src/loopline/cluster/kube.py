"""What a Kubernetes API tells about a namespace: read only, with bounded time, and honest about what it may not see."""

import os
from collections.abc import Callable
from typing import Any

from loopline.checks import NotPermittedError
from loopline.components.errors import LooplineError

TIMEOUT = (5, 15)


class Kube:
    """A Kubernetes API, as the pod that we are in or the kubeconfig of this machine reach it.

    Args:
        namespace: where our objects are.
    """

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._client: Any = None
        self._away = ""  # once it did not answer it is not asked again

    def namespace_labels(self) -> dict[str, str] | None:
        """Labels of the namespace; None if it does not exist."""
        found = self._get(f"/api/v1/namespaces/{self.namespace}")
        return None if found is None else dict(found["metadata"].get("labels") or {})

    def keys_of_secret(self, name: str) -> set[str] | None:
        """The keys that a Secret holds; None if it does not exist."""
        found = self._get(f"/api/v1/namespaces/{self.namespace}/secrets/{name}")
        return None if found is None else set(found.get("data") or {})

    def keys_of_config_map(self, name: str) -> set[str] | None:
        """The keys that a ConfigMap holds; None if it does not exist."""
        found = self._get(f"/api/v1/namespaces/{self.namespace}/configmaps/{name}")
        return None if found is None else set(found.get("data") or {})

    def annotations_of_version(self, name: str) -> dict[str, str] | None:
        """Annotations of a PipelineVersion; None if it does not exist."""
        found = self._get(f"/apis/pipelines.kubeflow.org/v2beta1/namespaces/{self.namespace}/pipelineversions/{name}")
        return None if found is None else dict(found["metadata"].get("annotations") or {})

    def pod_of_training_runtime(self, name: str) -> dict[str, Any] | None:
        """The first pod specification of a TrainingRuntime; None if there is no such runtime."""
        found = self._get(f"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{self.namespace}/trainingruntimes/{name}")
        if found is None:
            return None
        jobs = found["spec"]["template"]["spec"]["replicatedJobs"]
        return dict(jobs[0]["template"]["spec"]["template"]["spec"])

    def nodes(self) -> list[dict[str, Any]]:
        """All nodes."""
        return list((self._get("/api/v1/nodes") or {}).get("items", []))

    def cluster_queues(self) -> list[dict[str, Any]]:
        """Kueue's ClusterQueues; none where Kueue is not installed."""
        return list((self._get("/apis/kueue.x-k8s.io/v1beta2/clusterqueues") or {}).get("items", []))

    def _get(self, path: str) -> dict[str, Any] | None:
        """The object at a path; None where there is none.

        Raises:
            NotPermittedError: no API is reached, or it does not let us.
            LooplineError: it did not accept who we are, or failed.
        """
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        client = self._connected()
        if self._away:
            raise NotPermittedError(self._away)
        try:
            answer = client.call_api(
                path,
                "GET",
                header_params={"Accept": "application/json"},
                auth_settings=["BearerToken"],
                response_type="object",
                _return_http_data_only=True,
                _request_timeout=TIMEOUT,
            )
        except ApiException as error:
            if error.status == 404:
                return None
            if error.status == 403:
                raise NotPermittedError(f"this account may not read {path}") from error
            if error.status == 401:
                raise LooplineError(
                    f"the Kubernetes API at {client.configuration.host} did not accept our credentials; log in again"
                ) from error
            raise LooplineError(
                f"the Kubernetes API at {client.configuration.host} answered with {error.status} {error.reason}"
            ) from error
        except (HTTPError, OSError) as error:
            self._away = f"the Kubernetes API at {client.configuration.host} cannot be reached"
            raise NotPermittedError(self._away) from error
        return dict(answer)

    def _connected(self) -> Any:
        if self._client is None:
            from kubernetes import client, config

            configuration = client.Configuration()
            if not _first_that_works(
                lambda: config.load_incluster_config(configuration),
                lambda: config.load_kube_config(os.environ.get("KUBECONFIG"), client_configuration=configuration),
                otherwise=config.ConfigException,
            ):
                raise NotPermittedError("no Kubernetes API: this is no pod, and there is no usable kubeconfig")
            configuration.retries = 1
            self._client = client.ApiClient(configuration)
        return self._client


def _first_that_works(*attempts: Callable[[], object], otherwise: type[Exception]) -> bool:
    for attempt in attempts:
        try:
            attempt()
        except otherwise:
            continue
        return True
    return False
