"""PyTorch engine (`--engine torch`), the reference that exported models are compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from cgt.runtime.engines.base import (
    Array,
    Engine,
    EngineOptions,
    available_cpus,
    last_error_line,
)
from cgt.runtime.errors import EngineError
from cgt.runtime.image.preprocess import F32
from cgt.runtime.models.checkpoint_options import NO_OPTIONS, CheckpointOptions
from cgt.runtime.models.metadata import ModelMetadata

from .pretrained import open_generator


class TorchEngine(Engine):
    """Engine that runs a checkpoint's generator in PyTorch, in fp32.

    It is exact but slow. If the checkpoint has both directions, it translates AtoB. By default it
    runs on CUDA if PyTorch finds it, otherwise on the CPU.
    """

    name = "torch"
    devices = ("cpu", "cuda")

    def __init__(self, options: EngineOptions) -> None:
        device_name = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
        if device_name == "cuda" and not torch.cuda.is_available():
            raise EngineError("PyTorch finds no CUDA device; use --engine torch:cpu")
        self._device = torch.device(device_name)
        source = open_generator(options.path, options=options.checkpoint_options)
        self._network = source.network.to(self._device)
        self.device = device_name.upper()
        self.precision = "fp32"
        self.workers = 1
        torch.set_num_threads(available_cpus())

    @classmethod
    def read_metadata(cls, path: Path, options: CheckpointOptions = NO_OPTIONS) -> ModelMetadata:
        source = open_generator(path, options=options)
        return ModelMetadata(
            direction=source.direction,
            domains=source.domains,
            size=source.size,
            dynamic=True,
            multiple=source.multiple,
            filter=source.filter,
            norm=source.norm,
            architecture=source.architecture,
            parameters=source.parameters,
            checkpoint_sha256=source.sha256,
        )

    def infer(
        self,
        batch: Array,
        out: Array,
        statistics_in: F32 | None = None,
        statistics_out: F32 | None = None,
    ) -> None:
        try:
            with torch.inference_mode():
                output = self._network(torch.from_numpy(batch).to(self._device))
            np.copyto(out, output.cpu().numpy())
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"PyTorch failed: {last_error_line(error)}") from None

    def close(self) -> None:
        pass
