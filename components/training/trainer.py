"""One training run of a network over some rows, epoch by epoch, on one process or on each of several."""

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, smooth_l1_loss

from loopline.components.contract.spec import ModelSpec
from loopline.components.errors import LooplineError
from loopline.components.training.columns import UNKNOWN, TrainingRows
from loopline.components.training.world import World

Build = Callable[[], nn.Module]
SCORING_BATCH = 16_384
# Batches are small enough for this many steps per epoch, so that few rows still teach something in a dozen epochs ...
STEPS_PER_EPOCH = 64
# ... but no smaller than this, so that no single row dominates a step.
MIN_BATCH = 32
# Share of the schedule in which the learning rate rises.
WARM_UP = 0.1
NAN = float("nan")


@runtime_checkable
class ReadsTrainingRows(Protocol):
    """A network that is initialised from the training rows."""

    def fit(self, numbers: Tensor, target: Tensor) -> None:
        """Initialise from the numbers, [N, F] with NaN where missing, and the output of an untrained network."""


class Trainer:
    """A network, its optimiser and the running average of its weights.

    Args:
        rows: what to learn from.
        spec: hyper-parameters.
        task: binary_classification or regression.
        build: makes an untrained network (seeded here).
        world: the processes that train together.

    Raises:
        LooplineError: there are more processes than rows in a batch.
    """

    def __init__(self, rows: TrainingRows, spec: ModelSpec, task: str, build: Build, world: World) -> None:
        torch.manual_seed(spec.seed)
        self._rows, self._spec, self._task, self._world = rows, spec, task, world
        network = build()
        if isinstance(network, ReadsTrainingRows):
            network.fit(rows.numbers, prior(rows.labels, task))
        network.to(world.device)
        self.averaged = copy.deepcopy(network).eval()
        self._network = network
        self._shared = world.wrap(network)
        self._optimiser = torch.optim.AdamW(_groups(network, spec.weight_decay), lr=spec.learning_rate, fused=True)
        # The same random numbers in all processes: each draws for the whole batch and takes its shard.
        self._generator = torch.Generator().manual_seed(spec.seed)
        self._batch = batch_size(len(rows), spec.batch_size) // world.size * world.size
        if not self._batch:
            raise LooplineError(
                f"{world.size} processes cannot share {len(rows)} rows; take fewer nodes or GPUs, or raise batch_size"
            )
        self._steps_per_epoch = len(rows) // self._batch
        self._step = 0

    def run_epoch(self) -> None:
        """Go over the rows once, in random order."""
        self._shared.train()
        for index in self._batches():
            numbers, categories = self._masked(index)
            mine = self._world.shard(index)
            raw = self._shared(numbers, categories)
            weight = torch.exp(self._spec.recency * (mine / len(self._rows) - 0.5)).to(raw.device)
            loss = (loss_of(raw, self._rows.labels[mine].to(raw.device), self._task) * weight.unsqueeze(1)).mean()
            self._optimiser.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
            self._set_learning_rate()
            self._optimiser.step()
            self._step += 1
            self._average()

    @torch.no_grad()
    def outputs(self, rows: TrainingRows) -> Tensor:
        """Raw outputs of the averaged network, [N, 1]."""
        device = self._world.device
        parts = [rows.take(slice(start, start + SCORING_BATCH)) for start in range(0, len(rows), SCORING_BATCH)]
        raw = [self.averaged(part.numbers.to(device), part.categories.to(device)) for part in parts]
        return torch.cat([part.mean(dim=1, keepdim=True).cpu() for part in raw])

    def state(self) -> dict[str, Tensor]:
        """Everything the next epoch depends on, as flat tensors, so that it can be saved without pickle."""
        flat = {f"network.{name}": tensor for name, tensor in self._network.state_dict().items()}
        flat |= {f"averaged.{name}": tensor for name, tensor in self.averaged.state_dict().items()}
        for index, slots in self._optimiser.state_dict()["state"].items():
            flat |= {f"optimiser.{index}.{slot}": tensor for slot, tensor in slots.items()}
        flat |= {
            "step": torch.tensor(self._step),
            "generator": self._generator.get_state(),
            "dropout": torch.get_rng_state(),
        }
        if self._world.device.type == "cuda":
            flat["dropout.cuda"] = torch.cuda.get_rng_state(self._world.device)
        return flat

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned. All processes draw the same random numbers, so the leader's state fits all."""
        self._network.load_state_dict(_under("network.", state))
        self.averaged.load_state_dict(_under("averaged.", state))
        slots: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _under("optimiser.", state).items():
            index, slot = name.split(".")
            slots.setdefault(int(index), {})[slot] = tensor
        groups = self._optimiser.state_dict()["param_groups"]
        self._optimiser.load_state_dict({"state": slots, "param_groups": groups})
        self._step = int(state["step"])
        self._generator.set_state(state["generator"])
        torch.set_rng_state(state["dropout"])
        if self._world.device.type == "cuda":
            torch.cuda.set_rng_state(state["dropout.cuda"], self._world.device)

    def _batches(self) -> Iterator[Tensor]:
        order = torch.randperm(len(self._rows), generator=self._generator)
        for step in range(self._steps_per_epoch):
            yield order[step * self._batch : (step + 1) * self._batch]

    def _masked(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """This process's shard of a batch, with some cells masked, so that the network relies on no single feature."""
        spec, rows = self._spec, self._rows
        hide_number = torch.rand(len(index), rows.numbers.shape[1], generator=self._generator) < spec.hide_numbers
        hide_category = (
            torch.rand(len(index), rows.categories.shape[1], generator=self._generator) < spec.hide_categories
        )
        numbers = rows.numbers[index].masked_fill(hide_number, NAN)
        categories = rows.categories[index].masked_fill(hide_category, UNKNOWN)
        device = self._world.device
        return self._world.shard(numbers).to(device), self._world.shard(categories).to(device)

    def _set_learning_rate(self) -> None:
        done = self._step / (self._steps_per_epoch * self._spec.epochs)
        rising = done < WARM_UP
        factor = done / WARM_UP if rising else 0.5 * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP)))
        for group in self._optimiser.param_groups:
            group["lr"] = self._spec.learning_rate * factor

    @torch.no_grad()
    def _average(self) -> None:
        weight = 1 - min(self._spec.averaging, self._step / (self._step + 10))
        torch._foreach_lerp_(list(self.averaged.parameters()), list(self._network.parameters()), weight)


def batch_size(rows: int, largest: int) -> int:
    """Rows per step: the largest allowed that still gives enough steps per epoch."""
    return min(largest, rows, max(rows // STEPS_PER_EPOCH, MIN_BATCH))


def _under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries of a flat state with a prefix, without that prefix."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def prior(labels: Tensor, task: str) -> Tensor:
    """What the untrained network should output: the log odds of the mean label, or the mean label."""
    return torch.logit(labels.mean().clamp(1e-4, 1 - 1e-4)) if task == "binary_classification" else labels.mean()


def loss_of(raw: Tensor, labels: Tensor, task: str) -> Tensor:
    """Loss of each member on each row, [N, members]."""
    target = labels.unsqueeze(1).expand_as(raw)
    if task == "binary_classification":
        return binary_cross_entropy_with_logits(raw, target, reduction="none")
    return smooth_l1_loss(raw, target, reduction="none")


def _groups(network: nn.Module, decay: float) -> list[dict[str, object]]:
    """Weight decay for weights only, not for biases."""
    weights = [p for p in network.parameters() if p.ndim >= 2 and 1 not in p.shape[1:2]]
    others = [p for p in network.parameters() if not any(p is w for w in weights)]
    return [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
