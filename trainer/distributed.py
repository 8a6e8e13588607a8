"""Distributed data-parallel training across processes started by torchrun.

Every process holds all networks and pools and computes its share of each batch; Lightning Fabric
averages the gradients. With one process, Fabric is not imported.
"""

from __future__ import annotations

import os
import time
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from cgt.runtime.errors import MissingDependency, UsageError

from .precision import pick_device

CUDA_STOP_CHECK_INTERVAL_STEPS = 20
_GLOO_RELEASE_S = 0.5


class DistributedContext(Protocol):
    """Communication between the training processes.

    Attributes:
        rank: Rank of this process; rank 0 writes the files.
        world_size: Number of processes.
        device: Device of this process.
        stop_check_interval_steps: Training steps between two calls of `any` that ask whether a
            process got a signal.
    """

    rank: int
    world_size: int
    device: torch.device
    stop_check_interval_steps: int

    def wrap_ddp(self, network: nn.Module) -> nn.Module:
        """Wrap a network so that its gradients are averaged over all processes."""

    def gather(self, batch: Tensor) -> Tensor:
        """Concatenate N,... of all processes, by rank, to world_size*N,... without gradients."""

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a tensor over all processes, without gradients."""

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""

    def is_peer_failure(self, error: RuntimeError) -> bool:
        """Return whether the failure of another process caused an error."""

    def close(self) -> None:
        """Wait for all processes, and end the communication between them."""


class SingleProcess:
    """Context of a run with one process."""

    rank, world_size = 0, 1
    stop_check_interval_steps = 1

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

    def close(self) -> None:
        pass


class FabricContext:
    """Context of a run with several processes, based on Lightning Fabric."""

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
            # Generators run several times before one backward pass, and their buffers must not be
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
        self.stop_check_interval_steps = _stop_check_interval_steps(self.device)

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
        # Gloo raises plain RuntimeErrors, whose message contains the path of a Gloo source file.
        is_dist_error = isinstance(error, torch.distributed.DistError)
        return is_dist_error or "gloo/transport" in str(error)

    def close(self) -> None:
        # A process that exits while threads of Gloo still run is aborted, and torchrun then stops
        # the others.
        torch.distributed.barrier()
        # The thread that ran the barrier then needs the GIL to free tensors. PyTorch 2.13 holds the
        # GIL while it joins that thread, so both would wait forever. While this thread sleeps, the
        # GIL is free.
        time.sleep(_GLOO_RELEASE_S)
        torch.distributed.destroy_process_group()


def _stop_check_interval_steps(device: torch.device) -> int:
    """Return the interval of `any`, which on CUDA waits until the GPU has finished all steps."""
    return CUDA_STOP_CHECK_INTERVAL_STEPS if device.type == "cuda" else 1


def init_distributed(device: str, batch_size: int) -> DistributedContext:
    """Create the context of this process from torchrun's environment variables.

    Args:
        device: PyTorch device, or "auto".
        batch_size: Images per batch and domain, over all processes.

    Raises:
        UsageError: If the batch cannot be divided evenly among the processes.
        MissingDependency: If there are several processes and Lightning Fabric is not installed.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        return SingleProcess(pick_device(device))
    if batch_size % world_size:
        raise UsageError(
            f"--batch-size {batch_size} cannot be divided among {world_size} processes; "
            f"use a multiple of {world_size}"
        )
    return FabricContext(device)
