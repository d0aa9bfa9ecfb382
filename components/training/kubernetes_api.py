"""TrainJobs in the Kubernetes API, and the pods that run them."""

import contextlib
from collections.abc import Mapping
from typing import Any

from loopline.components.errors import LooplineError
from loopline.components.io import pod_status
from loopline.components.io.kubernetes_api import PODS, KubernetesApi, Resource
from loopline.components.io.kubernetes_errors import ConflictError
from loopline.components.training.trainjob import GROUP, NODES, RUNTIME, VERSION

TRAIN_JOBS = Resource(GROUP, VERSION, "trainjobs")
TRAINING_RUNTIMES = Resource(GROUP, VERSION, "trainingruntimes")
LOG_LINES = 200
ROLE = "Role loopline-trainjobs of manifests/training"
INSTALL = "install Kubeflow Trainer as manifests/upstream says, or use target pod"
WITHOUT_CLUSTER = (
    "target trainjob needs a Kubernetes cluster, and this is not a pod and has no kubeconfig; "
    "use target pod to train here"
)


class TrainJobs:
    """The TrainJobs of one namespace."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api

    @classmethod
    def connect(cls) -> "TrainJobs":
        """Those of the cluster that this pod runs in, or that the kubeconfig names.

        Raises:
            LooplineError: there is no cluster.
        """
        return cls(KubernetesApi.connect(ROLE, INSTALL, WITHOUT_CLUSTER))

    def runtime(self) -> dict[str, Any]:
        """The TrainingRuntime that jobs run on.

        Raises:
            LooplineError: there is none, or it may not be read.
        """
        found = self._api.get(TRAINING_RUNTIMES, RUNTIME)
        if found is None:
            raise LooplineError(
                f"there is no TrainingRuntime {RUNTIME} in namespace {self._api.namespace}; "
                "apply an overlay of kustomize/"
            )
        return found

    def find(self, name: str) -> dict[str, Any] | None:
        """A TrainJob, or None."""
        return self._api.get(TRAIN_JOBS, name)

    def create(self, job: Mapping[str, Any]) -> None:
        """Create a TrainJob, unless another step has just created the same one.

        Raises:
            LooplineError: it may not be, or the cluster refuses it.
        """
        with contextlib.suppress(ConflictError):
            self._api.create(TRAIN_JOBS, job)

    def delete(self, name: str) -> None:
        """Delete a TrainJob after its pods; nothing happens if there is none."""
        self._api.delete(TRAIN_JOBS, name)

    def blocked_container(self, name: str) -> str | None:
        """The container of a job that cannot start however long one waits, and why; None if there is none."""
        return next(filter(None, map(pod_status.blocked_container, self._pods_of(name))), None)

    def log(self, name: str) -> list[str]:
        """The last lines that the leader of a job has logged, or the first pod to fail; empty if there are none."""
        pods = self._pods_of(name)
        # Where one node has failed the others fail for having lost it: the first to end knows why.
        failed = sorted((pod for pod in pods if pod["status"].get("phase") == "Failed"), key=pod_status.ended_at)
        for pod in failed or [pod for pod in pods if _index(pod) == "0"]:
            text = self._api.logs(pod["metadata"]["name"], NODES, LOG_LINES)
            if lines := _lines(text) or _lines(pod_status.termination_message(pod)):
                return lines
        return []

    def _pods_of(self, name: str) -> list[dict[str, Any]]:
        return sorted(self._api.list_objects(PODS, f"jobset.sigs.k8s.io/jobset-name={name}"), key=_index)


def _index(pod: Mapping[str, Any]) -> str:
    """The number of a pod's node."""
    annotations = pod["metadata"].get("annotations") or {}
    return str(annotations.get("batch.kubernetes.io/job-completion-index", "0"))


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]
