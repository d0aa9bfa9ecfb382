"""Train a network on examples."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from loopline.components.contract import examples, usecase
from loopline.components.contract.dataset import Dataset
from loopline.components.contract.usecase import UseCase
from loopline.components.errors import LooplineError
from loopline.components.io import digest
from loopline.components.training import weights
from loopline.components.training.checkpoint import Checkpoint
from loopline.components.training.columns import Columns, TrainingRows, labelled_in_time_order, labels_of
from loopline.components.training.fit import Progress, best_epoch, fit
from loopline.components.training.network import Predictor
from loopline.components.training.tracking import track
from loopline.components.training.world import World

# Fewer rows are noise, and leave nothing to hold out.
MIN_ROWS = 50


def train(
    package: str,
    examples_path: Path | str,
    weights_path: Path | str,
    tracking: str,
    *,
    world: World | None = None,
    checkpoint: str = "",
) -> dict[str, float]:
    """Train the use case's model and write the weights artifact.

    Args:
        package: the use case.
        examples_path: training examples; rows without a label are ignored.
        weights_path: folder to write, by the leader.
        tracking: MLflow URI to log parameters and losses to; empty for none.
        world: the processes that train together; only this one by default.
        checkpoint: path or URI of a folder for a checkpoint after each epoch, from which an interrupted training
            resumes; empty for none.

    Returns:
        What to log: rows, epochs, held-out loss.

    Raises:
        LooplineError: too few labelled rows, labels of one class only, or not 0 and 1 in a classification.
    """
    world = world or World.single_process()
    case = usecase.load(package)
    dataset = Dataset.open(examples_path)
    table = labelled_in_time_order(dataset.read(examples.TABLE), case.spec.entity.timestamp)
    columns = Columns.learn(examples.features_of(dataset.facts), table)
    labels = labels_of(table)
    _check(labels, case.spec.task, package)
    mean, scale = _scale_of(labels, case.spec.task)
    rows = TrainingRows(*columns.tensors(table), labels=(labels - mean) / scale)
    spec = case.spec.model
    saved = Checkpoint(checkpoint, _identity(case, dataset, world)) if checkpoint else None
    start = _resume(saved, world)
    with _reproducible_arithmetic(world.device):
        fitted = fit(
            rows,
            spec,
            case.spec.task,
            lambda: weights.build_network(case, spec, columns),
            world,
            partial(_on_epoch, world=world, saved=saved, epochs=spec.epochs),
            start,
        )
    figures = {"rows": float(len(rows)), "epochs": float(fitted.epochs), "held_out_loss": min(fitted.held_out_loss)}
    if world.is_leader:
        predictor = Predictor(fitted.network.cpu(), case.spec.task, fitted.scale * scale, mean)
        facts = {**_lineage(package, dataset), "rows": len(rows), "epochs": fitted.epochs}
        run = track(tracking, case.spec, facts, fitted.held_out_loss, figures) if tracking else ""
        provenance = {"tracking_run": run, "code": os.environ.get("LOOPLINE_REVISION", "")}
        weights.save(Path(weights_path), weights.Trained(predictor, columns, spec, facts, figures, provenance))
    return figures


def _resume(saved: Checkpoint | None, world: World) -> Progress:
    """The progress of an earlier attempt, the same for all processes.

    Raises:
        LooplineError: they read different ones, because that attempt is still running.
    """
    start = saved.read() if saved else Progress()
    epochs = len(start.losses) + start.final_epochs
    if world.broadcast(epochs) != epochs:
        raise LooplineError("an earlier attempt of this training is still writing its checkpoint; it has to end first")
    if epochs and world.is_leader:
        print(f"progress: resuming after {epochs} epochs of an earlier attempt", flush=True)
    return start


def _on_epoch(progress: Progress, world: World, saved: Checkpoint | None, epochs: int) -> None:
    """Print an epoch and save a checkpoint; the leader does so for all processes."""
    if not world.is_leader:
        return
    if progress.final_epochs:
        print(f"progress: on all rows, epoch {progress.final_epochs} of {best_epoch(progress.losses)}", flush=True)
    else:
        loss = progress.losses[-1]
        print(f"progress: epoch {len(progress.losses)} of at most {epochs}, held-out loss {loss:.4f}", flush=True)
    if saved:
        saved.write(progress)


def _identity(case: UseCase, dataset: Dataset, world: World) -> str:
    """What a checkpoint must share with the training that resumes it; the number of processes changes the batches."""
    return digest.of_value([case.package, case.spec.model.model_dump(), dataset.digest, world.size])


@contextmanager
def _reproducible_arithmetic(device: torch.device) -> Iterator[None]:
    """One thread, no denormals and a fixed order of sums during a training; restores the settings afterwards.

    Layers this small gain nothing from threads, lose much on contended cores, and one thread always sums in the same
    order. A GPU needs deterministic algorithms; it warns where an operation of a use case's network has none.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if device.type == "cuda":
        torch.use_deterministic_algorithms(mode=True, warn_only=True)
    try:
        yield
    finally:
        if device.type == "cuda":
            torch.use_deterministic_algorithms(mode=False)
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


def _check(labels: Tensor, task: str, package: str) -> None:
    if len(labels) < MIN_ROWS:
        raise LooplineError(
            f"{package} has {len(labels)} labelled rows in its training window; at least {MIN_ROWS} are needed"
        )
    if task == "binary_classification":
        values = set(torch.unique(labels).tolist())
        if not values <= {0.0, 1.0}:
            strange = sorted(values - {0.0, 1.0})[:3]
            raise LooplineError(f"{package} is a binary classification, but its label holds {strange} besides 0 and 1")
        if len(values) == 1:
            raise LooplineError(
                f"every label in the training window of {package} is {values.pop():g}; there is nothing to tell apart"
            )
    elif float(labels.std()) == 0:
        raise LooplineError(
            f"every label in the training window of {package} is {float(labels[0]):g}; there is nothing to learn"
        )


def _scale_of(labels: Tensor, task: str) -> tuple[float, float]:
    """Mean and standard deviation for standardising the labels of a regression; 0 and 1 otherwise."""
    if task == "binary_classification":
        return 0.0, 1.0
    return float(labels.double().mean()), float(labels.double().std())


def _lineage(package: str, dataset: Dataset) -> dict[str, object]:
    return {
        "usecase": package,
        "examples": dataset.digest,
        "window": dataset.facts.get("window"),
        "feature_views": dataset.facts.get("feature_views"),
    }
