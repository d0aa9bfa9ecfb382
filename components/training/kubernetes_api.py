"""TrainJobs in the Kubernetes API: the few calls that a training needs, and what their refusals mean."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.contract.errors import LooplineError
from components.training.trainjob import GROUP, NODES, RUNTIME, VERSION

NAMESPACE_OF_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
# Seconds to connect, and to wait for an answer.
PATIENCE = (5, 30)
LOG_LINES = 200
# Why a container does not start that will not go away by waiting.
HOPELESS = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName"}
)


class UnreachableError(LooplineError):
    """The Kubernetes API does not answer, or only that it cannot now: it may a little later."""


class TrainJobs:
    """The TrainJobs of one namespace.

    Args:
        client: a ``kubernetes.client.ApiClient``.
        namespace: the namespace.
    """

    def __init__(self, client: Any, namespace: str) -> None:
        from kubernetes.client import CoreV1Api, CustomObjectsApi  # noqa: PLC0415 - takes a second to import

        self.namespace = namespace
        self._host = client.configuration.host
        self._objects, self._pods = CustomObjectsApi(client), CoreV1Api(client)

    @classmethod
    def connect(cls) -> "TrainJobs":
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
                "target trainjob needs a Kubernetes cluster, and this is no pod and has no kubeconfig; "
                "use target pod to train here"
            ) from error
        configuration = client.Configuration.get_default_copy()
        configuration.retries = False  # who waits for a job tries again by itself
        return cls(client.ApiClient(configuration), namespace)

    def runtime(self) -> dict[str, Any]:
        """The TrainingRuntime that jobs run on.

        Raises:
            LooplineError: there is none, or it may not be read.
        """
        found = self._get("trainingruntimes", RUNTIME)
        if found is None:
            raise LooplineError(
                f"there is no TrainingRuntime {RUNTIME} in namespace {self.namespace}; apply an overlay of kustomize/"
            )
        return found

    def find(self, name: str) -> dict[str, Any] | None:
        """A TrainJob, or None."""
        return self._get("trainjobs", name)

    def create(self, job: Mapping[str, Any]) -> None:
        """Create a TrainJob; one of that name that another step was faster with is as good.

        Raises:
            LooplineError: it may not be, or the cluster refuses it.
        """
        from kubernetes.client import ApiException  # noqa: PLC0415

        with self._explained("create", "trainjobs"):
            try:
                self._objects.create_namespaced_custom_object(
                    GROUP, VERSION, self.namespace, "trainjobs", job, _request_timeout=PATIENCE
                )
            except ApiException as error:
                if error.status != 409:
                    raise

    def delete(self, name: str) -> None:
        """Delete a TrainJob and, before it goes, its pods; nothing happens if there is none."""
        from kubernetes.client import ApiException  # noqa: PLC0415

        with self._explained("delete", "trainjobs"):
            try:
                self._objects.delete_namespaced_custom_object(
                    GROUP,
                    VERSION,
                    self.namespace,
                    "trainjobs",
                    name,
                    propagation_policy="Foreground",
                    _request_timeout=PATIENCE,
                )
            except ApiException as error:
                if error.status != 404:
                    raise

    def hindrance(self, name: str) -> str:
        """Why a pod of a job does not start, if waiting will not change it; else nothing."""
        for pod in self._pods_of(name):
            for status in pod.status.container_statuses or ():
                waiting = status.state.waiting if status.state else None
                if waiting and waiting.reason in HOPELESS:
                    return f"{waiting.reason}: {waiting.message or status.image}"
        return ""

    def log(self, name: str) -> list[str]:
        """The last lines of a job's leading pod; of a failed one, if a pod has failed. None if there is no log yet."""
        from kubernetes.client import ApiException  # noqa: PLC0415

        pods = self._pods_of(name)
        # Where one node has failed the others fail for having lost it: the first to end is the one to listen to.
        failed = sorted((pod for pod in pods if pod.status.phase == "Failed"), key=_ended)
        for pod in failed or [pod for pod in pods if _index(pod) == "0"]:
            with self._explained("read", "pods/log"):
                try:
                    text = self._pods.read_namespaced_pod_log(
                        pod.metadata.name,
                        self.namespace,
                        container=NODES,
                        tail_lines=LOG_LINES,
                        _request_timeout=PATIENCE,
                    )
                except ApiException as error:
                    if error.status not in {400, 404}:  # it has not started, or is gone
                        raise
                    text = ""
            if lines := [line for line in text.splitlines() if line.strip()] or _last_message(pod):
                return lines
        return []

    def _get(self, plural: str, name: str) -> dict[str, Any] | None:
        from kubernetes.client import ApiException  # noqa: PLC0415

        with self._explained("get", plural):
            try:
                return dict(
                    self._objects.get_namespaced_custom_object(
                        GROUP, VERSION, self.namespace, plural, name, _request_timeout=PATIENCE
                    )
                )
            except ApiException as error:
                if error.status == 404 and _status(error).get("details", {}).get("name"):
                    return None
                raise

    def _pods_of(self, name: str) -> list[Any]:
        with self._explained("list", "pods"):
            found = self._pods.list_namespaced_pod(
                self.namespace, label_selector=f"jobset.sigs.k8s.io/jobset-name={name}", _request_timeout=PATIENCE
            )
        return sorted(found.items, key=_index)

    @contextmanager
    def _explained(self, verb: str, what: str) -> Iterator[None]:
        """Turn what the API says into a sentence.

        Raises:
            UnreachableError: it does not answer, or that it is overloaded or starting.
            LooplineError: it refuses.
        """
        from kubernetes.client import ApiException  # noqa: PLC0415
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        try:
            yield
        except (HTTPError, OSError) as error:
            raise UnreachableError(
                f"the Kubernetes API at {self._host} cannot be reached; check the network"
            ) from error
        except ApiException as error:
            raise self._refusal(verb, what, error) from error

    def _refusal(self, verb: str, what: str, error: Any) -> LooplineError:
        said = _status(error).get("message") or error.reason
        if error.status == 429 or error.status >= 500:
            return UnreachableError(f"the Kubernetes API at {self._host} cannot answer now: {error.status} {said}")
        if error.status == 401:
            return LooplineError(f"the Kubernetes API at {self._host} does not accept our token; is it expired?")
        if error.status == 403:
            return LooplineError(
                f"this pod may not {verb} {what} in namespace {self.namespace}: its service account needs the Role "
                f"loopline-trainjobs of manifests/training ({said})"
            )
        if error.status == 404:
            return LooplineError(
                f"this cluster has no {what}: install Kubeflow Trainer as manifests/upstream says, or use target pod"
            )
        return LooplineError(f"the cluster refuses to {verb} {what}: {said}")


def _status(error: Any) -> dict[str, Any]:
    """The Status object in the body of a refusal; empty where a proxy or a missing API answered."""
    try:
        status = json.loads(error.body or "{}")
    except ValueError:
        return {}
    return status if isinstance(status, dict) else {}


def _index(pod: Any) -> str:
    """The number of a pod's node."""
    return str((pod.metadata.annotations or {}).get("batch.kubernetes.io/job-completion-index", "0"))


def _ended(pod: Any) -> str:
    ends = [s.state.terminated.finished_at for s in pod.status.container_statuses or () if s.state.terminated]
    return min((end.isoformat() for end in ends if end), default="")


def _last_message(pod: Any) -> list[str]:
    """What its container left in place of a log that is gone."""
    for status in pod.status.container_statuses or ():
        ended = status.state.terminated if status.state else None
        if ended:
            return [line for line in (ended.message or ended.reason or "").splitlines() if line.strip()]
    return []
