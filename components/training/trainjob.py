"""A training as a TrainJob of Kubeflow Trainer: its name, its manifest and its state.

The TrainingRuntime sets image, number of nodes, GPUs, queue and deadline, so that a change of hardware is a change of
one object in Git. The TrainJob only sets what is trained.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from loopline.components import contract, io
from loopline.components.contract.cluster_job import deadline_of, job_name
from loopline.components.contract.usecase import UseCase
from loopline.components.io import digest

GROUP = "trainer.kubeflow.org"
VERSION = "v1alpha1"
RUNTIME = "loopline-torch"
QUEUE = "kueue.x-k8s.io/queue-name"
# Name of the replicated job in the TrainingRuntime whose pods train.
NODES = "node"

Phase = Literal["waiting", "running", "complete", "failed"]


@dataclass(frozen=True)
class State:
    """The phase of a TrainJob, and a message for people."""

    phase: Phase
    message: str


def name_of(case: UseCase, examples: str, tracking: str) -> str:
    """The name for a training, the same for the same code and examples: a step that is retried finds its job.

    Args:
        case: the use case.
        examples: digest of the examples.
        tracking: MLflow URI.
    """
    folders = [Path(__file__).parent, *map(Path, contract.__path__), *map(Path, io.__path__)]
    code = [digest.of_files(folder, "*.py") for folder in folders]
    revision = os.environ.get("LOOPLINE_REVISION", "")
    identity = digest.of_value([case.package, case.code_digest(), examples, tracking, code, revision])
    return job_name("train", case.spec.name, identity)


def manifest(name: str, runtime: Mapping[str, Any], arguments: Sequence[str]) -> dict[str, Any]:
    """The TrainJob to create.

    Args:
        name: its name.
        runtime: the TrainingRuntime that it runs on.
        arguments: of ``python -m loopline.components.training``.

    Raises:
        LooplineError: the TrainingRuntime sets no deadline.
    """
    queue = runtime["metadata"].get("labels", {}).get(QUEUE)
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TrainJob",
        "metadata": {
            "name": name,
            "labels": {
                "app.kubernetes.io/name": "loopline-training",
                "app.kubernetes.io/component": "training",
                "app.kubernetes.io/part-of": "loopline",
                **({QUEUE: queue} if queue else {}),
            },
        },
        "spec": {
            "runtimeRef": {"apiGroup": GROUP, "kind": "TrainingRuntime", "name": RUNTIME},
            # The step waits no longer either; this ends a job whose step was killed.
            "activeDeadlineSeconds": int(deadline_of(runtime).total_seconds()),
            "trainer": {"args": list(arguments)},
        },
    }


def state_of(job: Mapping[str, Any]) -> State:
    """The state of a TrainJob."""
    status = job.get("status", {})
    conditions = {
        condition["type"]: condition for condition in status.get("conditions", ()) if condition["status"] == "True"
    }
    if failed := conditions.get("Failed"):
        return State("failed", f"{failed['reason']}: {failed['message']}")
    if "Complete" in conditions:
        return State("complete", "complete")
    queue = job["metadata"].get("labels", {}).get(QUEUE)
    if "Suspended" in conditions:
        return State("waiting", f"waiting in queue {queue}" if queue else "suspended")
    for nodes in status.get("jobsStatus", ()):
        if nodes["name"] == NODES and (nodes["ready"] or nodes["succeeded"]):
            return State("running", "training")
    return State("waiting", "waiting for nodes to start")
