"""One process or several that train together, as torchrun starts them.

Every process holds all networks and pools and computes its share of each batch; Lightning Fabric
averages the gradients. With one process nothing of it is imported.
"""

from __future__ import annotations

import os
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from cgt.runtime.errors import MissingDependency, UsageError

from .precision import pick_device


class DistributedContext(Protocol):
    """What training asks of the processes."""

    rank: int  # of this process; 0 writes the files
    world_size: int  # how many there are
    device: torch.device

    def wrap_ddp(self, network: nn.Module) -> nn.Module:
        """The network, whose gradients become the mean of all processes' as they are made."""

    def gather(self, batch: Tensor) -> Tensor:
        """Every process's N,... in the order of ranks: world*N,... ; no gradients."""

    def mean(self, value: Tensor) -> Tensor:
        """Over all processes; no gradients."""

    def any(self, flag: bool) -> bool:
        """Whether it is set in any process."""

    def is_peer_failure(self, error: RuntimeError) -> bool:
        """Whether an error is that another process is gone."""


class SingleProcess:
    """The usual case."""

    rank, world_size = 0, 1

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def wrap_ddp(self, network: nn.Module) -> nn.Module:
        return network

    def gather(self, batch: Tensor) -> Tensor:
        return batch

    def mean(self, value: Tensor) -> Tensor:
        return value

    def any(self, flag: bool) -> bool:
        return flag

    def is_peer_failure(self, error: RuntimeError) -> bool:
        return False


class FabricContext:
    """Those that torchrun started."""

    def __init__(self, device: str) -> None:
        try:
            from lightning_fabric import Fabric
            from lightning_fabric.strategies.ddp import DDPStrategy
        except ImportError:
            raise MissingDependency(
                "several processes need Lightning Fabric; install the extra: "
                "pip install 'cyclegan-toolkit[distributed]'"
            ) from None
        device_type = pick_device(device).type
        self._fabric: Any = Fabric(
            accelerator="cuda" if device_type == "cuda" else "cpu",
            devices=int(os.environ["LOCAL_WORLD_SIZE"]),
            num_nodes=int(os.environ["WORLD_SIZE"]) // int(os.environ["LOCAL_WORLD_SIZE"]),
            # Generators run several times before one backward; their buffers must not be
            # overwritten in between.
            strategy=DDPStrategy(
                broadcast_buffers=False,
                process_group_backend="nccl" if device_type == "cuda" else "gloo",
            ),
        )
        self._fabric.launch()
        self.rank = int(self._fabric.global_rank)
        self.world_size = int(self._fabric.world_size)
        self.device: torch.device = self._fabric.device

    def wrap_ddp(self, network: nn.Module) -> nn.Module:
        wrapped: nn.Module = self._fabric.setup_module(network)
        return wrapped

    def gather(self, batch: Tensor) -> Tensor:
        gathered: Tensor = self._fabric.all_gather(batch.detach().contiguous())
        return gathered.flatten(0, 1)

    def mean(self, value: Tensor) -> Tensor:
        mean: Tensor = self._fabric.all_reduce(value.detach().clone(), reduce_op="mean")
        return mean

    def any(self, flag: bool) -> bool:
        return bool(self.mean(torch.tensor(float(flag), device=self.device)) > 0)

    def is_peer_failure(self, error: RuntimeError) -> bool:
        # Gloo raises plain RuntimeErrors, which name the file of its own that noticed.
        is_dist_error = isinstance(error, torch.distributed.DistError)
        return is_dist_error or "gloo/transport" in str(error)


def init_distributed(device: str, batch_size: int) -> DistributedContext:
    """As torchrun's environment says. Raises UsageError for a batch that cannot be shared out."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        return SingleProcess(pick_device(device))
    if batch_size % world_size:
        raise UsageError(f"--batch-size {batch_size} cannot be shared by {world_size} processes")
    return FabricContext(device)
