"""The processes that train together: one on a laptop, several under torchrun."""

import os
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class World:
    """This process's place among those that share every batch."""

    rank: int
    size: int
    device: torch.device

    @classmethod
    def alone(cls) -> "World":
        """One process, on the GPU if there is one."""
        return cls(0, 1, torch.device("cuda" if torch.cuda.is_available() else "cpu"))

    @classmethod
    def join(cls) -> "World":
        """The world that torchrun describes in the environment, or none but this process."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return cls.alone()
        cuda = torch.cuda.is_available()
        torch.distributed.init_process_group("nccl" if cuda else "gloo")
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
        return cls(torch.distributed.get_rank(), size, device)

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def leave(self) -> None:
        """Part from the others."""
        if self.size > 1:
            torch.distributed.destroy_process_group()

    def share(self, batch: Tensor) -> Tensor:
        """This process's rows of a batch whose length is a multiple of the size of the world."""
        return batch[self.rank :: self.size]

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with its gradients averaged over the world."""
        if self.size == 1:
            return network
        return nn.parallel.DistributedDataParallel(network)
