"""TrainJobs in the Kubernetes API: the few calls that a training needs, and what their refusals mean."""

from collections.abc import Mapping
from typing import Any

from loopline.components.errors import LooplineError
from loopline.components.io.kubernetes_api import PATIENCE, Access, CustomObjects
from loopline.components.training.trainjob import GROUP, NODES, RUNTIME, VERSION

LOG_LINES = 200
# Why a container does not start that will not go away by waiting.
HOPELESS = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName"}
)
ROLE = "Role loopline-trainjobs of manifests/training"
ABSENT = "install Kubeflow Trainer as manifests/upstream says, or use target pod"
ALONE = (
    "target trainjob needs a Kubernetes cluster, and this is no pod and has no kubeconfig; use target pod to train here"
)


class TrainJobs:
    """The TrainJobs of one namespace."""

    def __init__(self, access: Access) -> None:
        from kubernetes.client import CoreV1Api  # noqa: PLC0415 - takes a second to import

        self._access, self._pods = access, CoreV1Api(access.client)
        self._jobs = CustomObjects(access, GROUP, VERSION, "trainjobs")
        self._runtimes = CustomObjects(access, GROUP, VERSION, "trainingruntimes")

    @classmethod
    def connect(cls) -> "TrainJobs":
        """Those of the cluster that this pod runs in, or that the kubeconfig names.

        Raises:
            LooplineError: there is no cluster.
        """
        return cls(Access.connect(ROLE, ABSENT, ALONE))

    @property
    def namespace(self) -> str:
        """Where they are."""
        return self._access.namespace

    def runtime(self) -> dict[str, Any]:
        """The TrainingRuntime that jobs run on.

        Raises:
            LooplineError: there is none, or it may not be read.
        """
        found = self._runtimes.find(RUNTIME)
        if found is None:
            raise LooplineError(
                f"there is no TrainingRuntime {RUNTIME} in namespace {self.namespace}; apply an overlay of kustomize/"
            )
        return found

    def find(self, name: str) -> dict[str, Any] | None:
        """A TrainJob, or None."""
        return self._jobs.find(name)

    def create(self, job: Mapping[str, Any]) -> None:
        """Create a TrainJob; one of that name that another step was faster with is as good.

        Raises:
            LooplineError: it may not be, or the cluster refuses it.
        """
        self._jobs.create(job)

    def delete(self, name: str) -> None:
        """Delete a TrainJob and, before it goes, its pods; nothing happens if there is none."""
        self._jobs.delete(name)

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
            with self._access.explained("read", "pods/log"):
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

    def _pods_of(self, name: str) -> list[Any]:
        with self._access.explained("list", "pods"):
            found = self._pods.list_namespaced_pod(
                self.namespace, label_selector=f"jobset.sigs.k8s.io/jobset-name={name}", _request_timeout=PATIENCE
            )
        return sorted(found.items, key=_index)


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
