"""Interface of inference engines, and the shapes of their tensors."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..image.preprocess import F32, U8
from ..models.checkpoint_options import NO_OPTIONS, CheckpointOptions
from ..models.metadata import IOType, ModelMetadata, read_metadata
from ..models.third_party import ModelFormat, ThirdPartyTensors
from ..utils.closeable import Closeable
from ..utils.system import available_cpus as available_cpus

PerformanceHint = Literal["throughput", "latency"]
"""`throughput`: several frames at once, for files. `latency`: all cores on one frame, for live
video."""

Array = F32 | U8
NetworkArray = NDArray[Any]
"""An array of a type that only third-party models have, such as float16."""

ArraySpec = tuple[tuple[int, ...], np.dtype[Any]]


@dataclass(frozen=True)
class BatchShape:
    """Shapes and types of the tensors of a network.

    Attributes:
        batch_size: images per run.
        channels: channels per image.
        height, width: size of the images in pixels; 0 if it varies from call to call, which makes
            some engines slower.
        io: "float" or "uint8"; see `cgt.runtime.models.metadata`.
        statistics: length of the statistics tensors; 0 for a network without them.
        out_channels: channels per output image; 0 for `channels`.
        third_party: tensors of a model of another tool, which the engine converts to and from.
    """

    batch_size: int
    channels: int
    height: int
    width: int
    io: IOType = "float"
    statistics: int = 0
    out_channels: int = 0
    third_party: ThirdPartyTensors | None = None

    @classmethod
    def from_metadata(
        cls, metadata: ModelMetadata, height: int = 0, width: int = 0, batch_size: int = 1
    ) -> BatchShape:
        """Return the shape for a model; a height and width of 0 mean any size."""
        return cls(
            batch_size,
            metadata.in_channels,
            height,
            width,
            metadata.io,
            metadata.statistics,
            metadata.out_channels,
            metadata.third_party,
        )

    def with_size(self, height: int, width: int) -> BatchShape:
        """Return the same shape for images of another size."""
        return replace(self, height=height, width=width)

    @property
    def is_static(self) -> bool:
        """Whether height and width are fixed."""
        return self.height > 0 and self.width > 0

    @property
    def image_shape(self) -> tuple[int, int, int, int]:
        """Shape of the input images, N,C,H,W or N,H,W,C for uint8; a varying side is 0."""
        return self._shape_of(self.channels)

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        """Shape of the output images, likewise."""
        return self._shape_of(self.out_channels or self.channels)

    def _shape_of(self, channels: int) -> tuple[int, int, int, int]:
        if self.io == "uint8":
            return self.batch_size, self.height, self.width, channels
        return self.batch_size, channels, self.height, self.width

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the images."""
        return np.dtype(np.uint8 if self.io == "uint8" else np.float32)

    def allocate(self) -> tuple[Array, Array]:
        """Return new arrays for the input and the output images, filled with zeros."""
        return np.zeros(self.image_shape, self.dtype), np.zeros(self.output_shape, self.dtype)

    @property
    def network_specs(self) -> tuple[ArraySpec, ArraySpec]:
        """Shape and type of the network's own image tensors: input and output."""
        if self.third_party is None:
            return (self.image_shape, self.dtype), (self.output_shape, self.dtype)
        first, second = self.third_party.input, self.third_party.output
        channels = self.channels, self.out_channels or self.channels
        sizes = self.height, self.width
        return (
            (first.shape(self.batch_size, channels[0], *sizes), np.dtype(first.dtype)),
            (second.shape(self.batch_size, channels[1], *sizes), np.dtype(second.dtype)),
        )


@dataclass(frozen=True)
class EngineOptions:
    """What an engine is constructed with.

    Attributes:
        path: model file.
        shape: shapes and types of the tensors.
        performance_hint: what to optimize for.
        precision: "fp32" to keep the engine from computing in a lower precision than the file
            says; None for the fastest.
        device: one of the engine's `devices`; None for its default.
        checkpoint_options: what the user states about a checkpoint of another trainer.
    """

    path: Path
    shape: BatchShape
    performance_hint: PerformanceHint = "throughput"
    precision: str | None = None
    device: str | None = None
    checkpoint_options: CheckpointOptions = NO_OPTIONS


class Engine(Closeable):
    """A loaded network. `open_engine` creates it; it is a context manager.

    Up to `workers` threads may call `infer` at the same time. The arrays belong to the caller and
    are used only during the call. Calls with the same arrays are the fastest.

    Attributes:
        name: such as "openvino".
        device: such as "CPU".
        precision: the one that the convolutions are computed in, as the engine reports it.
        workers: number of threads that keep the device busy.
        probe_size: (height, width) of an image that the engine takes if sizes vary.
        devices: names that may follow the name of the engine, as in "openvino:gpu".
    """

    name: str
    device: str
    precision: str
    workers: int
    probe_size: tuple[int, int] = (256, 256)
    devices: ClassVar[tuple[str, ...]] = ("cpu",)

    @classmethod
    def read_metadata(
        cls,
        path: Path,
        model_format: ModelFormat | None = None,
        options: CheckpointOptions = NO_OPTIONS,
    ) -> ModelMetadata:
        """Read the metadata of a model file of this engine.

        Args:
            path: the file.
            model_format: what the user says about a model of another tool.
            options: what the user states about a checkpoint of another trainer.

        Raises:
            ModelError: the file is not a model that translates images.
            UsageError: the file is no checkpoint, but `options` are given, or `model_format`
                contradicts it.
        """
        if flag := options.flag_of_checkpoints:
            raise UsageError(f"{path.name} is no checkpoint; leave out {flag}")
        return read_metadata(path, model_format)

    @abstractmethod
    def infer(
        self,
        batch: Array,
        out: Array,
        statistics_in: F32 | None = None,
        statistics_out: F32 | None = None,
    ) -> None:
        """Run the network once.

        `ThirdPartyEngine` calls it with the arrays of `BatchShape.network_specs` instead.

        Args:
            batch: C-contiguous images of shape `BatchShape.image_shape`: float32 in [-1, 1], or
                uint8.
            out: receives the outputs, of shape `BatchShape.output_shape` and the same type.
            statistics_in: float32 N,S statistics, for networks that have them and only for these;
                see `cgt.runtime.models.metadata`.
            statistics_out: receives the statistics that the network used.

        Raises:
            EngineError: the engine failed.
        """


def last_error_line(error: Exception) -> str:
    """Return the last line that is not empty of an error's text, or the name of its type."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
