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
    """How far a training has come: all that it needs to go on as if it had never stopped.

    Attributes:
        losses: held-out loss of each epoch of the search for the number of epochs.
        answers: raw answers of the best of them to the held-out rows, [N, 1].
        final_epochs: how many epochs of the final training, on all rows, are done.
        trainer: state of the trainer at work.
    """

    losses: tuple[float, ...] = ()
    answers: Tensor = field(default_factory=lambda: torch.empty(0, 1))
    final_epochs: int = 0
    trainer: Mapping[str, Tensor] = field(default_factory=dict)


Report = Callable[[Progress], None]
STRETCHES = 100


@dataclass(frozen=True)
class Fitted:
    """A trained network, the factor that calibrates its raw output, and what its training found."""

    network: nn.Module
    scale: float
    epochs: int
    held_out_loss: list[float]


def fit(
    rows: TrainingRows, spec: ModelSpec, task: str, build: Build, world: World, report: Report, begun: Progress
) -> Fitted:
    """Train on all rows, for as many epochs as rows held out at first say is best.

    The held-out rows also calibrate a classification, by the slope of Platt scaling. They are whole stretches of
    time all over the window: single rows would share their hour with rows that are trained on, and the newest rows
    alone would say more about a changed rate than about too much training.

    The labels are 0/1 for classification, standardised for regression.

    Args:
        rows: labelled rows, oldest first.
        spec: hyper-parameters.
        task: binary_classification or regression.
        build: makes an untrained network (seeded here).
        world: the processes that share the work.
        report: called after each epoch.
        begun: what was reported last before an interruption, or `Progress()`.
    """
    held_out = _held_out(len(rows), spec.holdout)
    unseen = rows.take(held_out)
    found = begun
    if not begun.final_epochs:
        probe = Trainer(rows.take(~held_out), spec, task, build, world)
        found = _search(probe, unseen, spec, task, world, report, begun)
    epochs = best_epoch(found.losses)
    final = Trainer(rows, spec, task, build, world)
    if begun.final_epochs:
        final.restore(begun.trainer)
    for epoch in range(begun.final_epochs + 1, epochs + 1):
        final.run_epoch()
        report(replace(found, final_epochs=epoch, trainer=final.state()))
    scale = _confidence(found.answers, unseen.labels) if task == "binary_classification" else 1.0
    return Fitted(final.averaged.eval(), scale, epochs, list(found.losses))


def _search(
    probe: Trainer, unseen: TrainingRows, spec: ModelSpec, task: str, world: World, report: Report, begun: Progress
) -> Progress:
    """Train until the loss on unseen rows has stopped to fall; the leader's loss counts, so that all stop together."""
    if begun.losses:
        probe.restore(begun.trainer)
    progress = begun
    while len(progress.losses) < spec.epochs and not _settled(progress.losses, spec.patience):
        probe.run_epoch()
        answers = probe.answers(unseen)
        losses = (*progress.losses, world.of_leader(float(loss_of(answers, unseen.labels, task).mean())))
        best_answers = answers if best_epoch(losses) == len(losses) else progress.answers
        progress = Progress(losses, best_answers, trainer=probe.state())
        report(progress)
    return progress


def _held_out(rows: int, share: float) -> Tensor:
    """Mask of the held-out rows: of `STRETCHES` equal stretches of time, every so many-th."""
    stretch = torch.arange(rows) * STRETCHES // rows
    every = round(1 / share)
    return stretch % every == every // 2


def best_epoch(losses: Sequence[float]) -> int:
    """The epoch with the least loss, counted from 1."""
    return min(range(len(losses)), key=losses.__getitem__) + 1


def _settled(losses: Sequence[float], patience: int) -> bool:
    """Whether the best epoch lies so many epochs back."""
    return bool(losses) and len(losses) - best_epoch(losses) >= patience


def _confidence(raw: Tensor, labels: Tensor) -> float:
    """The factor on the log odds that fits the labels best: the slope of Platt scaling (Platt 1999).

    Its shift is fitted too, but not used: a few stretches of time differ in rate by chance, and the network has
    learned the rate from all rows.
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
