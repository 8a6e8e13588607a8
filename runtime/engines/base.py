"""The contract of an engine: what runs a network."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from ..image.preprocess import F32, U8
from ..models.metadata import IOType, ModelMetadata, read_metadata
from ..utils.closeable import Closeable
from ..utils.system import available_cpus as available_cpus

PerformanceHint = Literal["throughput", "latency"]
"""throughput: several frames at once, as files want; latency: all cores on one frame, as live
pictures want."""


Array = F32 | U8


@dataclass(frozen=True)
class BatchShape:
    """The tensors in and out of a network. height and width are 0 where they vary from call to
    call, which some engines pay for in speed. io and statistics as in `artifact`."""

    batch_size: int
    channels: int
    height: int
    width: int
    io: IOType = "float"
    statistics: int = 0

    @classmethod
    def from_metadata(
        cls, metadata: ModelMetadata, height: int = 0, width: int = 0, batch_size: int = 1
    ) -> BatchShape:
        """What a model takes."""
        return cls(batch_size, 3, height, width, metadata.io, metadata.statistics)

    def with_size(self, height: int, width: int) -> BatchShape:
        """The same for pictures of another size."""
        return replace(self, height=height, width=width)

    @property
    def is_static(self) -> bool:
        return self.height > 0 and self.width > 0

    @property
    def image_shape(self) -> tuple[int, int, int, int]:
        """Shape of the image tensors, with 0 for what varies."""
        if self.io == "uint8":
            return self.batch_size, self.height, self.width, self.channels
        return self.batch_size, self.channels, self.height, self.width


class Engine(Closeable):
    """A network, ready to run. Made by `open_engine`; a context manager.

    `infer` may be called by up to `workers` threads at once. The arrays belong to the caller and
    are used only during the call; passing the same arrays again is the fast way. It raises
    EngineError.
    """

    name: str  # "openvino"
    device: str  # "CPU"
    precision: str  # in which the convolutions are really computed, as the engine reports it
    workers: int
    devices: ClassVar[tuple[str, ...]] = ("cpu",)  # what may follow the name: `openvino:gpu`

    @classmethod
    def read_metadata(cls, path: Path) -> ModelMetadata:
        """What a model file of this engine says of itself. Raises ModelError."""
        return read_metadata(path)

    @abstractmethod
    def infer(
        self,
        batch: Array,
        out: Array,
        statistics_in: F32 | None = None,
        statistics_out: F32 | None = None,
    ) -> None:
        """batch: C-contiguous images as `BatchShape.image` and `.io` say. out: the same, written.
        given, used: N,S float32 statistics in and out (see `artifact`), for networks that have
        them, and only for these."""


def last_error_line(error: Exception) -> str:
    """The last telling line of a library's error text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
