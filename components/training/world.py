"""The processes that train together: one on a laptop, several under torchrun."""

import os
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class World:
    """This process's place among those that share every batch.

    Attributes:
        rank: its number among all.
        size: how many there are.
        device: what it computes on.
        local_rank: its number among those of its node.
    """

    rank: int
    size: int
    device: torch.device
    local_rank: int = 0

    @classmethod
    def alone(cls) -> "World":
        """One process, on the GPU if there is one."""
        return cls(0, 1, torch.device("cuda" if torch.cuda.is_available() else "cpu"))

    @classmethod
    def join(cls) -> "World":
        """The world that torchrun describes in the environment, or none but this process.

        GPUs talk through NCCL, CPUs through Gloo.
        """
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return cls.alone()
        local_rank = int(os.environ["LOCAL_RANK"])
        if torch.cuda.is_available():
            device = torch.device("cuda", local_rank)
            torch.cuda.set_device(device)  # else every process of the node also takes memory of the first GPU
            torch.distributed.init_process_group("nccl", device_id=device)
        else:
            device = torch.device("cpu")
            torch.distributed.init_process_group("gloo")
        return cls(torch.distributed.get_rank(), size, device, local_rank)

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    @property
    def leads_node(self) -> bool:
        """Whether this is the process that does for its node what has to be done once on each."""
        return self.local_rank == 0

    def leave(self) -> None:
        """Part from the others."""
        if self.size > 1:
            torch.distributed.destroy_process_group()

    def wait(self) -> None:
        """Return when all have come here."""
        if self.size > 1:
            torch.distributed.barrier()

    def of_leader(self, value: float) -> float:
        """The leader's value, for a decision that all must take alike though their GPUs may round differently."""
        if self.size == 1:
            return value
        told = torch.tensor(value, dtype=torch.float64, device=self.device)
        torch.distributed.broadcast(told, src=0)
        return float(told)

    def share(self, batch: Tensor) -> Tensor:
        """This process's rows of a batch whose length is a multiple of the size of the world."""
        return batch[self.rank :: self.size]

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with its gradients averaged over the world."""
        if self.size == 1:
            return network
        return nn.parallel.DistributedDataParallel(network)
