"""The contract of an engine: what runs a network."""

from __future__ import annotations

import os
from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

from ..closing import Closing
from ..preprocess import F32

Goal = Literal["throughput", "latency"]
"""throughput: several frames at once, as files want; latency: all cores on one frame, as live
pictures want."""


@dataclass(frozen=True)
class BatchShape:
    """N,C,H,W of the tensors in and out. height and width are 0 where they vary from call to call,
    which some engines pay for in speed."""

    count: int
    channels: int
    height: int
    width: int

    @property
    def fixed(self) -> bool:
        return self.height > 0 and self.width > 0


class Engine(Closing):
    """A network, ready to run. Made by `open_engine`; a context manager.

    `infer` may be called by up to `workers` threads at once. Both arrays belong to the caller and
    are used only during the call; passing the same arrays again is the fast way. It raises
    EngineError.
    """

    name: str  # "openvino"
    device: str  # "CPU"
    precision: str  # in which the convolutions are really computed, as the engine reports it
    workers: int

    @abstractmethod
    def infer(self, batch: F32, out: F32) -> None:
        """batch: float32 NCHW, C-contiguous, [-1, 1]. out: the same shape, written."""


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_line(error: Exception) -> str:
    """The last telling line of a library's error text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
