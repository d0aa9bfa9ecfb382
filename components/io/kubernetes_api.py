"""A small Kubernetes client: bounded requests on objects of one resource, and errors that say what to do."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loopline.components.io.kubernetes_errors import (
    BadRequestError,
    NoClusterError,
    NotFoundError,
    UnreachableError,
    from_response,
)

NAMESPACE_OF_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
# Seconds to connect, and to read.
TIMEOUT = (5, 30)
_METHODS = {
    "get": ("GET", "application/json"),
    "list": ("GET", "application/json"),
    "create": ("POST", "application/json"),
    "replace": ("PUT", "application/json"),
    "apply": ("PATCH", "application/apply-patch+yaml"),
    "delete": ("DELETE", "application/json"),
}


@dataclass(frozen=True)
class Resource:
    """A resource of the API: what Kubernetes calls a GroupVersionResource.

    Attributes:
        group: empty for the core API.
        plural: its name in paths, such as "pods".
    """

    group: str
    version: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str, name: str = "") -> str:
        """Path of all objects in a namespace, or of one of them."""
        root = f"/apis/{self.group}" if self.group else "/api"
        scope = f"/namespaces/{namespace}" if self.namespaced else ""
        return f"{root}/{self.version}{scope}/{self.plural}" + (f"/{name}" if name else "")


PODS = Resource("", "v1", "pods")
CONFIG_MAPS = Resource("", "v1", "configmaps")


@dataclass(frozen=True)
class KubernetesApi:
    """The API server, and the namespace of most requests.

    Every method raises an error of ``kubernetes_errors``, or LooplineError for what has none there.

    Attributes:
        client: a ``kubernetes.client.ApiClient``.
        role: what permits the requests, such as "Role loopline-batches of manifests/batch".
        install: what to do where the cluster does not serve a resource.
    """

    client: Any
    namespace: str
    role: str
    install: str

    @classmethod
    def connect(cls, role: str, install: str, without_cluster: str) -> "KubernetesApi":
        """Connect to the cluster of the kubeconfig, or to the one that this pod runs in if KUBECONFIG is not set.

        Args:
            role: what permits the requests.
            install: what to do where the cluster does not serve a resource.
            without_cluster: the message where there is no cluster.

        Raises:
            NoClusterError: there is none.
        """
        from kubernetes import client, config  # noqa: PLC0415 - takes a second to import

        configuration = client.Configuration()
        file = os.environ.get("KUBECONFIG")  # the client's own default is its value at import
        try:
            if not file and NAMESPACE_OF_POD.is_file():
                config.load_incluster_config(configuration)
                namespace = NAMESPACE_OF_POD.read_text(encoding="utf-8").strip()
            else:
                config.load_kube_config(file, client_configuration=configuration)
                namespace = config.list_kube_config_contexts(file)[1]["context"].get("namespace", "default")
        except config.ConfigException as error:
            raise NoClusterError(without_cluster) from error
        configuration.retries = False  # callers that wait for an object repeat their requests anyway
        return cls(client.ApiClient(configuration), namespace, role, install)

    def get(self, resource: Resource, name: str, namespace: str = "") -> dict[str, Any] | None:
        """The object of that name; None if there is none."""
        try:
            return dict(json.loads(self._request("get", resource, name, namespace=namespace)))
        except NotFoundError:
            return None

    def list_objects(self, resource: Resource, selector: str = "") -> list[dict[str, Any]]:
        """The objects whose labels match a selector; all if it is empty."""
        query = [("labelSelector", selector)] if selector else []
        return list(json.loads(self._request("list", resource, query=query)).get("items", []))

    def create(self, resource: Resource, body: Mapping[str, Any]) -> None:
        """Create an object.

        Raises:
            ConflictError: there is one of that name.
        """
        self._request("create", resource, body=body)

    def replace(self, resource: Resource, body: Mapping[str, Any]) -> None:
        """Replace an object; its resourceVersion has to be the current one.

        Raises:
            ConflictError: it was modified since it was read.
        """
        self._request("replace", resource, body["metadata"]["name"], body=body)

    def apply(self, resource: Resource, body: Mapping[str, Any], field_manager: str) -> None:
        """Server-side apply without force.

        Raises:
            ConflictError: the object was modified since it was read, or another manager owns a field.
        """
        query = [("fieldManager", field_manager)]
        self._request("apply", resource, body["metadata"]["name"], body=body, query=query)

    def delete(self, resource: Resource, name: str) -> None:
        """Delete an object after its dependents (foreground deletion); nothing happens if there is none."""
        try:
            self._request("delete", resource, name, query=[("propagationPolicy", "Foreground")])
        except NotFoundError:
            return

    def logs(self, pod: str, container: str, tail: int) -> str:
        """The last lines of a container's log; empty before it has started and after its pod is gone."""
        query = [("container", container), ("tailLines", str(tail))]
        try:
            return self._request("get", PODS, f"{pod}/log", query=query).decode(errors="replace")
        except (NotFoundError, BadRequestError):  # gone, or waiting to start
            return ""

    def _request(
        self,
        verb: str,
        resource: Resource,
        name: str = "",
        body: Mapping[str, Any] | None = None,
        query: Sequence[tuple[str, str]] = (),
        namespace: str = "",
    ) -> bytes:
        """Make a request and return the body of the response."""
        from kubernetes.client import ApiException  # noqa: PLC0415
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        method, content_type = _METHODS[verb]
        namespace = namespace or self.namespace
        try:
            response = self.client.call_api(
                resource.path(namespace, name),
                method,
                query_params=list(query),
                header_params={"Accept": "*/*", "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _preload_content=False,
                _request_timeout=TIMEOUT,
            )
            return bytes(response.data)
        except (HTTPError, OSError) as error:
            raise UnreachableError(f"{self._server} cannot be reached; check the network") from error
        except ApiException as error:
            request = f"{verb} {resource.plural}" + (f" in namespace {namespace}" if resource.namespaced else "")
            raise from_response(error, self._server, request, self.role, self.install) from error

    @property
    def _server(self) -> str:
        return f"the Kubernetes API at {self.client.configuration.host}"
