"""The targets of a training: the pod of the step, or a TrainJob on other nodes."""

import os
from pathlib import Path

from loopline.components.errors import LooplineError

TARGETS = ("pod", "trainjob")


def train_on(
    target: str, package: str, examples_path: Path | str, weights_path: Path | str, tracking: str
) -> dict[str, float]:
    """Train the use case's model on a target, write the weights artifact, and return the metrics to log.

    Raises:
        LooplineError: there is no such target, or the training failed.
    """
    if target == "pod":
        from loopline.components.training.train import train  # noqa: PLC0415 - imports torch, which trainjob does not need

        return train(package, examples_path, weights_path, tracking)
    if target == "trainjob":
        from loopline.components.training.run_trainjob import run_trainjob  # noqa: PLC0415

        return run_trainjob(package, examples_path, weights_path, tracking, shared_folder())
    raise LooplineError(f"there is no training target '{target}'; there are {', '.join(TARGETS)}")


def shared_folder() -> str:
    """URI of the folder through which a step and its TrainJob exchange examples and weights, in the cluster's bucket.

    Raises:
        LooplineError: LOOPLINE_BUCKET is not set.
    """
    bucket = os.environ.get("LOOPLINE_BUCKET")
    if not bucket:
        raise LooplineError(
            "LOOPLINE_BUCKET is not set, so the nodes of a TrainJob could not read the examples; "
            "in a pod it comes from the ConfigMap loopline-object-store; use target pod to train here"
        )
    return f"s3://{bucket}/training"
