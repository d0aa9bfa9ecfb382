"""The Kubernetes API as a step uses it: a few calls of bounded time on objects of a kind, and refusals in words."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loopline.components.errors import LooplineError

NAMESPACE_OF_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
# Seconds to connect, and to wait for an answer.
PATIENCE = (5, 30)


class UnreachableError(LooplineError):
    """The Kubernetes API does not answer, or only that it cannot now: it may a little later."""


@dataclass(frozen=True)
class Access:
    """A client of the API, the namespace that it works in, and what its refusals have to say.

    Attributes:
        client: a ``kubernetes.client.ApiClient``.
        namespace: the namespace.
        role: what allows a pod the calls, for example "Role loopline-batches of manifests/batch".
        absent: what to do where the cluster does not know the kind.
    """

    client: Any
    namespace: str
    role: str
    absent: str

    @classmethod
    def connect(cls, role: str, absent: str, alone: str) -> "Access":
        """Access to the cluster that this pod runs in, or that the kubeconfig names.

        Args:
            role: what allows a pod the calls.
            absent: what to do where the cluster does not know the kind.
            alone: what needs a cluster, and what to do without one.

        Raises:
            LooplineError: there is no cluster.
        """
        from kubernetes import client, config  # noqa: PLC0415 - takes a second to import

        configuration = client.Configuration()
        file = os.environ.get("KUBECONFIG")  # read now: the client's own default is what it was on import
        try:
            if not file and NAMESPACE_OF_POD.is_file():
                config.load_incluster_config(configuration)
                namespace = NAMESPACE_OF_POD.read_text(encoding="utf-8").strip()
            else:
                config.load_kube_config(file, client_configuration=configuration)
                namespace = config.list_kube_config_contexts(file)[1]["context"].get("namespace", "default")
        except config.ConfigException as error:
            raise LooplineError(alone) from error
        configuration.retries = False  # who waits for a job tries again by itself
        return cls(client.ApiClient(configuration), namespace, role, absent)

    @contextmanager
    def explained(self, verb: str, what: str) -> Iterator[None]:
        """Turn what the API says in the block into a sentence.

        Args:
            verb: what is done, such as create.
            what: to what, such as trainjobs.

        Raises:
            UnreachableError: it does not answer, or that it is overloaded or starting.
            LooplineError: it refuses.
        """
        from kubernetes.client import ApiException  # noqa: PLC0415
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        host = self.client.configuration.host
        try:
            yield
        except (HTTPError, OSError) as error:
            raise UnreachableError(f"the Kubernetes API at {host} cannot be reached; check the network") from error
        except ApiException as error:
            said = _status(error).get("message") or error.reason
            if error.status == 429 or error.status >= 500:
                sentence = f"the Kubernetes API at {host} cannot answer now: {error.status} {said}"
                raise UnreachableError(sentence) from error
            raise LooplineError(self._refusal(verb, what, error.status, said)) from error

    def _refusal(self, verb: str, what: str, status: int, said: str) -> str:
        if status == 401:
            host = self.client.configuration.host
            return f"the Kubernetes API at {host} does not accept our token; is it expired?"
        if status == 403:
            return (
                f"this pod may not {verb} {what} in namespace {self.namespace}: "
                f"its service account needs the {self.role} ({said})"
            )
        if status == 404:
            return f"this cluster has no {what}: {self.absent}"
        return f"the cluster refuses to {verb} {what}: {said}"


@dataclass(frozen=True)
class CustomObjects:
    """The objects of one kind of custom resource in one namespace."""

    access: Access
    group: str
    version: str
    plural: str

    def find(self, name: str) -> dict[str, Any] | None:
        """An object, or None.

        Raises:
            UnreachableError: the API does not answer.
            LooplineError: it refuses, or the cluster does not know the kind.
        """
        from kubernetes.client import ApiException  # noqa: PLC0415

        with self.access.explained("get", self.plural):
            try:
                return dict(self._api.get_namespaced_custom_object(*self._place, name, _request_timeout=PATIENCE))
            except ApiException as error:
                if error.status == 404 and _status(error).get("details", {}).get("name"):
                    return None
                raise

    def create(self, body: Mapping[str, Any]) -> None:
        """Create an object; one of that name that another step was faster with is as good.

        Raises:
            UnreachableError: the API does not answer.
            LooplineError: it refuses.
        """
        from kubernetes.client import ApiException  # noqa: PLC0415

        with self.access.explained("create", self.plural):
            try:
                self._api.create_namespaced_custom_object(*self._place, body, _request_timeout=PATIENCE)
            except ApiException as error:
                if error.status != 409:
                    raise

    def delete(self, name: str) -> None:
        """Delete an object and, before it goes, what belongs to it; nothing happens if there is none.

        Raises:
            UnreachableError: the API does not answer.
            LooplineError: it refuses.
        """
        from kubernetes.client import ApiException  # noqa: PLC0415

        with self.access.explained("delete", self.plural):
            try:
                self._api.delete_namespaced_custom_object(
                    *self._place, name, propagation_policy="Foreground", _request_timeout=PATIENCE
                )
            except ApiException as error:
                if error.status != 404:
                    raise

    @property
    def _api(self) -> Any:
        from kubernetes.client import CustomObjectsApi  # noqa: PLC0415

        return CustomObjectsApi(self.access.client)

    @property
    def _place(self) -> tuple[str, str, str, str]:
        return self.group, self.version, self.access.namespace, self.plural


def _status(error: Any) -> dict[str, Any]:
    """The Status object in the body of a refusal; empty where a proxy or a missing API answered."""
    try:
        status = json.loads(error.body or "{}")
    except ValueError:
        return {}
    return status if isinstance(status, dict) else {}
