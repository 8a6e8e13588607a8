"""The network that a student learns from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cgt.runtime.artifact import Direction
from cgt.runtime.errors import UsageError
from cgt.runtime.preprocess import F32, U8, unpack

from ..config import GeneratorConfig
from ..fast import use_fast_cpu_layers
from ..generator import TrainedGenerator, open_generator
from ..networks import ResnetBlock, ResnetGenerator
from ..precision import Precision


class Teacher:
    """A generator of any checkpoint, frozen. In bf16 it is 55 dB from fp32 and, with PyTorch, as
    quick as any engine that is as exact."""

    def __init__(self, source: TrainedGenerator, precision: Precision) -> None:
        """Raises UsageError for one that does not translate RGB to RGB."""
        if (source.in_channels, source.out_channels) != (3, 3):
            raise UsageError(f"{source.path} does not translate RGB to RGB; only such can teach")
        self.source = source
        self.network_name = ""  # in a file of several
        self.precision, device = precision, precision.device
        self.network = source.network.to(device).requires_grad_(False)
        self._memory_format = precision.inference_memory_format
        if device.type == "cpu":
            use_fast_cpu_layers(self.network)

    @classmethod
    def open(
        cls,
        path: Path,
        direction: Direction | None,
        precision: Precision,
        network: str | None = None,
    ) -> Teacher:
        """Raises what open_generator raises, and UsageError."""
        teacher = cls(open_generator(path, direction, network), precision)
        teacher.network_name = network or ""
        return teacher

    @property
    def cache_key(self) -> str:
        """Equal for equal answers."""
        source, computed = self.source, f"{self.precision.name}-{self._memory_format}"
        return f"{source.sha256}-{source.direction}-{computed}-{self.network_name}"

    def __call__(self, x: Tensor) -> Tensor:
        """N,3,H,W float32 in [-1, 1] -> the same, its answers."""
        with torch.no_grad(), self.precision.autocast_context():
            given = x.to(self.precision.device).contiguous(memory_format=self._memory_format)
            out: Tensor = self.network(given)
        return out.float().contiguous()

    def predict(self, view: F32) -> U8:
        """float32 3,H,W in [-1, 1] -> uint8 HWC, its answer."""
        output = self(torch.from_numpy(np.ascontiguousarray(view))[None])
        return unpack(output[0].cpu().numpy())

    @property
    def encoder(self) -> nn.Sequential:
        """Its layers before the first block: N,3,H,W -> N,encoder_width,H/s,W/s. Raises UsageError
        for a U-Net, whose layers do not stand in a row."""
        if not isinstance(self.network, ResnetGenerator):
            raise UsageError("--lambda-feature needs a ResNet as teacher; leave it out")
        layers = list(self.network.model)
        end = next(i for i, layer in enumerate(layers) if isinstance(layer, ResnetBlock))
        return nn.Sequential(*layers[:end])

    @property
    def encoder_width(self) -> int:
        config = GeneratorConfig.from_json(self.source.architecture)
        return config.stage_widths[config.levels]
