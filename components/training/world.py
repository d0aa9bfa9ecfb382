"""The processes that train together: one on a laptop, several under torchrun."""

import os
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class World:
    """This process among those that train together, each on its shard of every batch.

    Attributes:
        rank: its number among all processes.
        size: number of processes.
        device: what it computes on.
        local_rank: its number on its node.
    """

    rank: int
    size: int
    device: torch.device
    local_rank: int = 0

    @classmethod
    def single_process(cls) -> "World":
        """One process, on the GPU if there is one."""
        return cls(0, 1, torch.device("cuda" if torch.cuda.is_available() else "cpu"))

    @classmethod
    def join(cls) -> "World":
        """The world that torchrun describes in the environment, or only this process.

        GPUs communicate through NCCL, CPUs through Gloo.
        """
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return cls.single_process()
        local_rank = int(os.environ["LOCAL_RANK"])
        if torch.cuda.is_available():
            device = torch.device("cuda", local_rank)
            torch.cuda.set_device(device)  # otherwise all processes of the node take memory of the first GPU
            torch.distributed.init_process_group("nccl", device_id=device)
        else:
            device = torch.device("cpu")
            torch.distributed.init_process_group("gloo")
        return cls(torch.distributed.get_rank(), size, device, local_rank)

    @property
    def is_leader(self) -> bool:
        """Whether this is the leader, the process that writes."""
        return self.rank == 0

    @property
    def is_node_leader(self) -> bool:
        """Whether this process does what has to be done once on each node."""
        return self.local_rank == 0

    def leave(self) -> None:
        """Leave the process group."""
        if self.size > 1:
            torch.distributed.destroy_process_group()

    def barrier(self) -> None:
        """Wait until all processes have reached this point."""
        if self.size > 1:
            torch.distributed.barrier()

    def broadcast(self, value: float) -> float:
        """The leader's value, so that all processes decide the same although their GPUs may round differently."""
        if self.size == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=self.device)
        torch.distributed.broadcast(shared, src=0)
        return float(shared)

    def shard(self, batch: Tensor) -> Tensor:
        """This process's rows of a batch whose length is a multiple of the size of the world."""
        return batch[self.rank :: self.size]

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with its gradients averaged over the world."""
        if self.size == 1:
            return network
        return nn.parallel.DistributedDataParallel(network)
