"""SparkApplications in the Kubernetes API: the few calls that a batch needs, and what their refusals mean."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from components.contract.errors import LooplineError

GROUP, VERSION, PLURAL = "sparkoperator.k8s.io", "v1beta2", "sparkapplications"
NAMESPACE_OF_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
# Seconds to connect, and to wait for an answer.
PATIENCE = (5, 30)


class UnreachableError(LooplineError):
    """The Kubernetes API does not answer, or only that it cannot now: it may a little later."""


class SparkApplications:
    """The SparkApplications of one namespace.

    Args:
        client: a ``kubernetes.client.ApiClient``.
        namespace: the namespace.
    """

    def __init__(self, client: Any, namespace: str) -> None:
        from kubernetes.client import CustomObjectsApi  # noqa: PLC0415 - takes a second to import

        self.namespace = namespace
        self._host = client.configuration.host
        self._objects = CustomObjectsApi(client)

    @classmethod
    def connect(cls) -> "SparkApplications":
        """Those of the cluster that this pod runs in, or that the kubeconfig names.

        Raises:
            LooplineError: there is no cluster.
        """
        from kubernetes import client, config  # noqa: PLC0415

        try:
            config.load_config()
            if NAMESPACE_OF_POD.is_file():
                namespace = NAMESPACE_OF_POD.read_text(encoding="utf-8").strip()
            else:
                namespace = config.list_kube_config_contexts()[1]["context"].get("namespace", "default")
        except config.ConfigException as error:
            raise LooplineError(
                "engine spark needs a Kubernetes cluster, and this is no pod and has no kubeconfig; use engine local"
            ) from error
        configuration = client.Configuration.get_default_copy()
        configuration.retries = False  # who waits for a job tries again by itself
        return cls(client.ApiClient(configuration), namespace)

    def find(self, name: str) -> dict[str, Any] | None:
        """A SparkApplication, or None.

        Raises:
            UnreachableError: the API does not answer.
            LooplineError: it refuses, or the cluster has no Spark operator.
        """
        return self._call("get", self._objects.get_namespaced_custom_object, name, unless=404)

    def create(self, application: Mapping[str, Any]) -> None:
        """Create a SparkApplication; one of that name that another step was faster with is as good.

        Raises:
            UnreachableError: the API does not answer.
            LooplineError: it refuses.
        """
        self._call("create", self._objects.create_namespaced_custom_object, application, unless=409)

    def delete(self, name: str) -> None:
        """Delete a SparkApplication; nothing happens if there is none.

        Raises:
            UnreachableError: the API does not answer.
            LooplineError: it refuses.
        """
        self._call("delete", self._objects.delete_namespaced_custom_object, name, unless=404)

    def _call(self, verb: str, call: Callable[..., Any], what: Any, unless: int) -> dict[str, Any] | None:
        """Call the API; None if it answers with the status ``unless`` for the object itself."""
        from kubernetes.client import ApiException  # noqa: PLC0415
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        try:
            return dict(call(GROUP, VERSION, self.namespace, PLURAL, what, _request_timeout=PATIENCE))
        except (HTTPError, OSError) as error:
            raise UnreachableError(
                f"the Kubernetes API at {self._host} cannot be reached; check the network"
            ) from error
        except ApiException as error:
            said = _status(error)
            if error.status == unless and (unless != 404 or said.get("details", {}).get("name")):
                return None
            raise self._refusal(verb, error.status, said.get("message") or error.reason) from error

    def _refusal(self, verb: str, status: int, said: str) -> LooplineError:
        if status == 429 or status >= 500:
            return UnreachableError(f"the Kubernetes API at {self._host} cannot answer now: {status} {said}")
        if status == 401:
            return LooplineError(f"the Kubernetes API at {self._host} does not accept our token; is it expired?")
        if status == 403:
            return LooplineError(
                f"this pod may not {verb} {PLURAL} in namespace {self.namespace}: its service account needs the Role "
                f"loopline-batches of manifests/batch ({said})"
            )
        if status == 404:
            return LooplineError(
                f"this cluster has no {PLURAL}: install the Spark operator as manifests/upstream says, "
                "or use engine local"
            )
        return LooplineError(f"the cluster refuses to {verb} {PLURAL}: {said}")


def _status(error: Any) -> dict[str, Any]:
    """The Status object in the body of a refusal; empty where a proxy or a missing API answered."""
    try:
        status = json.loads(error.body or "{}")
    except ValueError:
        return {}
    return status if isinstance(status, dict) else {}
