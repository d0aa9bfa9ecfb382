"""The training loop: seeded, early-stopped, and the same whether one process runs it or several under torchrun."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from loopline.components.contract.spec import ModelSpec
from loopline.components.training.columns import TrainingRows
from loopline.components.training.trainer import Build, Trainer, loss_of
from loopline.components.training.world import World


@dataclass(frozen=True)
class Progress:
    """How far a training has come: everything it needs to resume as if it had not been interrupted.

    Attributes:
        losses: held-out loss of each epoch of the search for the best number of epochs.
        outputs: raw outputs of the best of those epochs for the held-out rows, [N, 1].
        final_epochs: how many epochs of the final training, on all rows, are done.
        trainer: state of the current trainer.
    """

    losses: tuple[float, ...] = ()
    outputs: Tensor = field(default_factory=lambda: torch.empty(0, 1))
    final_epochs: int = 0
    trainer: Mapping[str, Tensor] = field(default_factory=dict)


OnEpoch = Callable[[Progress], None]
TIME_BLOCKS = 100


@dataclass(frozen=True)
class Fitted:
    """A trained network, the factor that calibrates its raw output, the number of epochs, and the held-out losses."""

    network: nn.Module
    scale: float
    epochs: int
    held_out_loss: list[float]


def fit(
    rows: TrainingRows, spec: ModelSpec, task: str, build: Build, world: World, on_epoch: OnEpoch, start: Progress
) -> Fitted:
    """Find the best number of epochs on held-out rows, then train on all rows for that many.

    The held-out rows also calibrate a classification, by the slope of Platt scaling. They are blocks of time spread
    over the window: single rows would share their hour with training rows, and the newest rows alone would measure a
    change of the rate rather than overfitting.

    The labels are 0/1 for classification, standardised for regression.

    Args:
        rows: labelled rows, oldest first.
        spec: hyper-parameters.
        task: binary_classification or regression.
        build: makes an untrained network (seeded here).
        world: the processes that train together.
        on_epoch: called after each epoch.
        start: the last progress before an interruption, or `Progress()`.
    """
    held_out = _held_out(len(rows), spec.holdout)
    unseen = rows.take(held_out)
    found = start
    if not start.final_epochs:
        trainer = Trainer(rows.take(~held_out), spec, task, build, world)
        found = _search(trainer, unseen, spec, task, world, on_epoch, start)
    epochs = best_epoch(found.losses)
    final = Trainer(rows, spec, task, build, world)
    if start.final_epochs:
        final.restore(start.trainer)
    for epoch in range(start.final_epochs + 1, epochs + 1):
        final.run_epoch()
        on_epoch(replace(found, final_epochs=epoch, trainer=final.state()))
    scale = _platt_slope(found.outputs, unseen.labels) if task == "binary_classification" else 1.0
    return Fitted(final.averaged.eval(), scale, epochs, list(found.losses))


def _search(
    trainer: Trainer, unseen: TrainingRows, spec: ModelSpec, task: str, world: World, on_epoch: OnEpoch, start: Progress
) -> Progress:
    """Train until the loss on unseen rows stops falling; the leader's loss counts, so that all stop together."""
    if start.losses:
        trainer.restore(start.trainer)
    progress = start
    while len(progress.losses) < spec.epochs and not _should_stop(progress.losses, spec.patience):
        trainer.run_epoch()
        outputs = trainer.outputs(unseen)
        losses = (*progress.losses, world.broadcast(float(loss_of(outputs, unseen.labels, task).mean())))
        best_outputs = outputs if best_epoch(losses) == len(losses) else progress.outputs
        progress = Progress(losses, best_outputs, trainer=trainer.state())
        on_epoch(progress)
    return progress


def _held_out(rows: int, share: float) -> Tensor:
    """Mask of the held-out rows: every n-th of `TIME_BLOCKS` equal blocks of time."""
    block = torch.arange(rows) * TIME_BLOCKS // rows
    every = round(1 / share)
    return block % every == every // 2


def best_epoch(losses: Sequence[float]) -> int:
    """The epoch with the least loss, counted from 1."""
    return min(range(len(losses)), key=losses.__getitem__) + 1


def _should_stop(losses: Sequence[float], patience: int) -> bool:
    """Whether the best epoch was ``patience`` epochs ago."""
    return bool(losses) and len(losses) - best_epoch(losses) >= patience


def _platt_slope(raw: Tensor, labels: Tensor) -> float:
    """The factor on the log odds that fits the labels best: the slope of Platt scaling (Platt 1999).

    The shift is fitted too but not used: a few blocks of time differ in rate by chance, and the network has learned
    the rate from all rows.
    """
    log_slope = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    shift = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    odds, seen = raw.squeeze(1).double(), labels.double()
    optimiser = torch.optim.LBFGS([log_slope, shift], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = binary_cross_entropy_with_logits(log_slope.exp() * odds + shift, seen)
        torch.autograd.backward(value)
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    return float(log_slope.detach().exp())
