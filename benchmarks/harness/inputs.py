"""Tensors for a model to run on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cgt.runtime.engines import Array, BatchShape, Engine, read_model_metadata
from cgt.runtime.image.preprocess import F32, U8


class ModelInputs:
    """Noise for one thread, as a model file wants it, and room for what comes out. The values do
    not matter to the speed of a convolution.

    size: (height, width) of the tensor. Raises ModelError.
    """

    def __init__(self, model: Path, size: tuple[int, int], batch: int = 1) -> None:
        metadata = read_model_metadata(model)
        self.shape = BatchShape.from_metadata(metadata, *size, batch)
        random = np.random.default_rng(0)
        self.batch: Array = np.empty(0, np.uint8)
        if metadata.io == "uint8":
            self.batch = random.integers(0, 256, self.shape.image_shape, dtype=np.uint8)
        else:
            self.batch = random.uniform(-1, 1, self.shape.image_shape).astype(np.float32)
        self.out: Array = np.empty_like(self.batch)
        self.statistics: tuple[F32, ...] = ()
        if metadata.statistics:
            statistics_in = np.zeros((batch, metadata.statistics), np.float32)  # weight 0: its own
            self.statistics = (statistics_in, np.empty_like(statistics_in))

    @property
    def arrays(self) -> tuple[Array | F32, ...]:
        """The arguments of `Engine.infer`."""
        return (self.batch, self.out, *self.statistics)

    def infer(self, engine: Engine) -> None:
        """Once."""
        engine.infer(self.batch, self.out, *self.statistics)

    def translate(self, engine: Engine, images: F32) -> F32:
        """images, N,C,H,W float32 in [-1, 1] of this feed's size, translated to the same kind,
        batch by batch; N is a multiple of the batch."""
        outs = []
        for start in range(0, len(images), self.shape.batch_size):
            part = images[start : start + self.shape.batch_size]
            self.batch[...] = _to_uint8(part) if self.shape.io == "uint8" else part
            self.infer(engine)
            outs.append(_to_float32(self.out) if self.shape.io == "uint8" else self.out.copy())
        return np.concatenate(outs).astype(np.float32)


def _to_uint8(images: F32) -> U8:
    levels: U8 = np.rint((images + 1) * 127.5).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    return levels


def _to_float32(batch: Array) -> F32:
    floats: F32 = batch.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - 1
    return floats
