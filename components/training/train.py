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

# Fewer rows than this cannot be told from noise, and leave nothing to hold out.
FEWEST_ROWS = 50


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
        examples_path: examples to learn from; rows without a label are left aside.
        weights_path: folder to make (by the leading process).
        tracking: MLflow URI that gets parameters and losses; empty for none.
        world: the processes that share each batch; none but this one if left out.
        checkpoint: path or URI of a folder that takes the progress after each epoch, and that an interrupted training
            goes on from; empty for none.

    Returns:
        What to log: rows, epochs, held-out loss.

    Raises:
        LooplineError: too few labelled rows, labels of one class only, or not 0 and 1 in a classification.
    """
    world = world or World.alone()
    case = usecase.load(package)
    dataset = Dataset.open(examples_path)
    table = labelled_in_time_order(dataset.read(examples.TABLE), case.spec.entity.timestamp)
    columns = Columns.learn(examples.features_of(dataset.facts), table)
    labels = labels_of(table)
    _check(labels, case.spec.task, package)
    mean, scale = _scale_of(labels, case.spec.task)
    rows = TrainingRows(*columns.tensors(table), labels=(labels - mean) / scale)
    spec = case.spec.model
    kept = Checkpoint(checkpoint, _identity(case, dataset, world)) if checkpoint else None
    begun = _begun(kept, world)
    with _plain_arithmetic(world.device):
        fitted = fit(
            rows,
            spec,
            case.spec.task,
            lambda: weights.build_network(case, spec, columns),
            world,
            partial(_report, world=world, kept=kept, epochs=spec.epochs),
            begun,
        )
    figures = {"rows": float(len(rows)), "epochs": float(fitted.epochs), "held_out_loss": min(fitted.held_out_loss)}
    if world.leads:
        predictor = Predictor(fitted.network.cpu(), case.spec.task, fitted.scale * scale, mean)
        facts = {**_lineage(package, dataset), "rows": len(rows), "epochs": fitted.epochs}
        run = track(tracking, case.spec, facts, fitted.held_out_loss, figures) if tracking else ""
        provenance = {"tracking_run": run, "code": os.environ.get("LOOPLINE_REVISION", "")}
        weights.save(Path(weights_path), weights.Trained(predictor, columns, spec, facts, figures, provenance))
    return figures


def _begun(kept: Checkpoint | None, world: World) -> Progress:
    """What an earlier attempt left, the same for all processes.

    Raises:
        LooplineError: they read different ones, because that attempt was still at work.
    """
    begun = kept.read() if kept else Progress()
    epochs = len(begun.losses) + begun.final_epochs
    if world.of_leader(epochs) != epochs:
        raise LooplineError("an earlier attempt of this training is still writing its checkpoint; it has to end first")
    if epochs and world.leads:
        print(f"progress: going on after {epochs} epochs of an earlier attempt", flush=True)
    return begun


def _report(progress: Progress, world: World, kept: Checkpoint | None, epochs: int) -> None:
    """Tell of an epoch and keep it; one process does so for all."""
    if not world.leads:
        return
    if progress.final_epochs:
        print(f"progress: on all rows, epoch {progress.final_epochs} of {best_epoch(progress.losses)}", flush=True)
    else:
        loss = progress.losses[-1]
        print(f"progress: epoch {len(progress.losses)} of at most {epochs}, held-out loss {loss:.4f}", flush=True)
    if kept:
        kept.write(progress)


def _identity(case: UseCase, dataset: Dataset, world: World) -> str:
    """What progress has to agree in with the training that goes on from it; more processes cut batches otherwise."""
    return digest.of_value([case.package, case.spec.model.model_dump(), dataset.digest, world.size])


@contextmanager
def _plain_arithmetic(device: torch.device) -> Iterator[None]:
    """One thread, no denormals and one order of sums, for the time of a training; the process is left as it was.

    Layers this small gain nothing from threads, lose much when cores are contended, and sum in one order with one. A
    GPU has to be told; where it knows no such way for an operation of a use case's own network, it says so and goes on.
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
    if len(labels) < FEWEST_ROWS:
        raise LooplineError(
            f"{package} has {len(labels)} labelled rows in its training window; at least {FEWEST_ROWS} are needed"
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
    """Mean and standard deviation that regression labels are standardised by."""
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
