"""PyTorch engine (`--engine torch`), the reference that exported models are compared with."""

from __future__ import annotations

import copy
import dataclasses
import functools
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
from cgt.runtime.models.metadata import ModelMetadata, refuse_format
from cgt.runtime.models.third_party import ModelFormat

from .precision import without_tf32
from .pretrained import TrainedGenerator, open_generator

_CacheKey = tuple[Path, int, CheckpointOptions]


def _open_once(path: Path, options: CheckpointOptions) -> TrainedGenerator:
    """Open a generator; its metadata and its engine come from one execution of its code."""
    if not path.is_file():
        return open_generator(path)  # raises the error for it
    return _open_unchanged((path, path.stat().st_mtime_ns, options))


@functools.lru_cache(maxsize=1)
def _open_unchanged(key: _CacheKey) -> TrainedGenerator:
    path, _, options = key
    return open_generator(path, options=options)


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
        opened = _open_once(options.path, options.checkpoint_options)
        self._network = copy.deepcopy(opened.network).to(self._device)
        self.device = device_name.upper()
        self.precision = "fp32"
        self.workers = 1
        torch.set_num_threads(available_cpus())

    @classmethod
    def read_metadata(
        cls,
        path: Path,
        model_format: ModelFormat | None = None,
        options: CheckpointOptions = NO_OPTIONS,
    ) -> ModelMetadata:
        """Read what a checkpoint, or the code that builds its network, says about itself."""
        if model_format is not None:  # the range is also an option of checkpoints
            refuse_format(path, dataclasses.replace(model_format, model_range=None))
        source = _open_once(path, options)
        return ModelMetadata(
            direction=source.direction,
            domains=source.domains,
            size=source.size,
            dynamic=not source.fixed_size,
            multiple=source.multiple,
            filter=source.filter,
            norm=source.norm,
            in_channels=source.in_channels,
            out_channels=source.out_channels,
            architecture=source.architecture,
            origin=source.origin,
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
            with torch.inference_mode(), without_tf32():
                output = self._network(torch.from_numpy(batch).to(self._device))
            np.copyto(out, output.cpu().numpy())
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"PyTorch failed: {last_error_line(error)}") from None

    def close(self) -> None:
        pass
