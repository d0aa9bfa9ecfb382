"""What we know of a cluster: one strict YAML file, which an overlay gives to the pods of schedules as a ConfigMap."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from loopline.components.errors import LooplineError
from loopline.components.io.kubernetes_api import NAMESPACE_OF_POD
from loopline.components.io.strict import Strict, read_yaml

VARIABLE = "LOOPLINE_CLUSTER"
# A GPU pool is a file of its own beside the settings, so that a kustomize component can add it to the ConfigMap.
GPU_FILE = "gpu.yaml"
BUCKET = "$LOOPLINE_BUCKET"
# How long a run of the release pipeline waits for evidence: what is not decided by then is left to the next one.
RELEASE_SECONDS = 6 * 3600

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
Url = Annotated[str, Field(pattern=r"^https?://[^/\s]+(/\S*)?$")]
Uri = Annotated[str, Field(min_length=1, pattern=r"^\S+$")]


def _own_namespace() -> str:
    """The namespace of this pod.

    Raises:
        LooplineError: this is no pod.
    """
    try:
        return NAMESPACE_OF_POD.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise LooplineError(
            "the settings of the cluster name no namespace, and this is not one of its pods; add `namespace:`"
        ) from error


class KfpServer(Strict):
    """The Kubeflow Pipelines server.

    Attributes:
        endpoint: its address.
        token: file of the token it is asked with, read anew for each request; none where it asks for none. The variable
            LOOPLINE_KFP_TOKEN goes before it.
        authority: file of the certificates that its own is checked against, if that is no public one.
    """

    endpoint: Url
    token: Path | None = None
    authority: Path | None = None


class Toleration(Strict):
    """A taint that the training step tolerates, as Kubernetes writes it."""

    key: str | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None

    @model_validator(mode="after")
    def _as_kubernetes_takes_it(self) -> Self:
        if self.operator == "Exists" and self.value:
            raise ValueError("with operator Exists there is no value")
        if self.key is None and self.operator != "Exists":
            raise ValueError("without a key the operator has to be Exists")
        return self


class GpuPool(Strict):
    """Where the training step finds GPUs.

    Attributes:
        gpus: how many nvidia.com/gpu it is given.
        node_selector: labels of the pool's nodes.
        tolerations: of the pool's taints.
    """

    gpus: int = Field(default=1, ge=1)
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()

    def parameters(self) -> dict[str, Any]:
        """The parameters that place the training step of a run."""
        return {
            "gpus": str(self.gpus),
            "node_selector": dict(self.node_selector),
            "tolerations": [toleration.model_dump(exclude_none=True) for toleration in self.tolerations],
        }


class Cluster(Strict):
    """A cluster, as ``loopline submit`` and ``loopline doctor`` see it.

    Attributes:
        namespace: where our objects and runs are; if left out, the namespace of the pod that reads this.
        experiment: the KFP experiment that runs are listed under; made if it is not there.
        service_account: of the pods of a run.
        registry: MLflow URI of the model registry. ``tracking``: of the experiment tracking.
        store: feature stores, one below it for each use case. ``destination``: published predictions, likewise.
            Both may begin with ``s3://$LOOPLINE_BUCKET``.
        training: ``pod``, the step itself trains; ``trainjob``, it has Kubeflow Trainer do it.
        gpu: the pool for training in the step's own pod; a TrainJob's is said by its TrainingRuntime.
    """

    kfp: KfpServer
    namespace: Name = Field(default_factory=_own_namespace)
    experiment: str = Field(default="loopline", min_length=1)
    service_account: Name = "loopline-pipeline"
    registry: Url
    tracking: Url
    store: Uri
    destination: Uri
    training: Literal["pod", "trainjob"] = "pod"
    gpu: GpuPool | None = None

    @classmethod
    def read(cls, path: Path | None) -> "Cluster":
        """Read the settings, and the GPU pool beside them if there is one.

        Args:
            path: the file; None for the one that LOOPLINE_CLUSTER names.

        Raises:
            LooplineError: no file is named, it is not there, or something in it is wrong.
        """
        if path is None and os.environ.get(VARIABLE):
            path = Path(os.environ[VARIABLE])
        if path is None:
            raise LooplineError(
                f"no cluster is named; pass --cluster FILE or set {VARIABLE} "
                "(manifests/pipelines/cluster.yaml is such a file)"
            )
        if not path.is_file():
            raise LooplineError(f"{path} does not exist; copy manifests/pipelines/cluster.yaml and change addresses")
        cluster = read_yaml(path, cls)
        pool = path.with_name(GPU_FILE)
        if not pool.is_file():
            return cluster
        if cluster.gpu:
            raise LooplineError(f"{path} and {pool} both describe a GPU pool; remove one of them")
        return cluster.model_copy(update={"gpu": read_yaml(pool, GpuPool)})

    def features(self, usecase: str) -> str:
        """Feature store of a use case."""
        return f"{_with_bucket(self.store)}/{usecase}"

    def predictions(self, usecase: str) -> str:
        """Where a use case's batch predictions are published."""
        return f"{_with_bucket(self.destination)}/{usecase}"

    def requests(self, usecase: str) -> str:
        """The prediction log of a use case's endpoint, where its transformers write it."""
        return f"{self.predictions(usecase)}/requests"

    def release(self, usecase: str) -> dict[str, str]:
        """How a release is carried out by a run: in the cluster, for a bounded time, as whoever the run's pods are."""
        return {
            "target": "cluster",
            "target_uri": "",
            "log": self.requests(usecase),
            "owner": self.service_account,
            "wait": str(RELEASE_SECONDS),
        }


def _with_bucket(uri: str) -> str:
    bucket = os.environ.get(BUCKET.removeprefix("$"), "")
    if BUCKET in uri and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket):
        raise LooplineError(
            f"{uri} needs the name of a bucket in the variable LOOPLINE_BUCKET, which is "
            f"{f'{bucket!r}' if bucket else 'not set'}; set it, or write the name into the settings of the cluster"
        )
    return uri.replace(BUCKET, bucket).rstrip("/")
