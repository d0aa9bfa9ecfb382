"""Where a training runs: in the step's own pod, or in a TrainJob on other nodes."""

import os
from pathlib import Path

from loopline.components.errors import LooplineError

TARGETS = ("pod", "trainjob")


def train_at(
    target: str, package: str, examples_path: Path | str, weights_path: Path | str, tracking: str
) -> dict[str, float]:
    """Train the use case's model here or there, write the weights artifact, and return what to log.

    Raises:
        LooplineError: there is no such target, or the training could not be done.
    """
    if target == "pod":
        from loopline.components.training.train import train  # noqa: PLC0415 - torch, which only this process needs then

        return train(package, examples_path, weights_path, tracking)
    if target == "trainjob":
        from loopline.components.training.nodes import train_on_nodes  # noqa: PLC0415

        return train_on_nodes(package, examples_path, weights_path, tracking, shared_store())
    raise LooplineError(f"there is no training target '{target}'; there are {', '.join(TARGETS)}")


def shared_store() -> str:
    """Where TrainJobs find their examples and leave their weights: in the bucket that a cluster tells its pods of.

    Raises:
        LooplineError: no bucket is named.
    """
    bucket = os.environ.get("LOOPLINE_BUCKET")
    if not bucket:
        raise LooplineError(
            "LOOPLINE_BUCKET is not set, so there is no place that the nodes of a TrainJob could read examples from; "
            "in a pod it comes from the ConfigMap loopline-object-store; use target pod to train here"
        )
    return f"s3://{bucket}/training"
