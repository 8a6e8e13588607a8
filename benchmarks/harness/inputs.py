"""Input and output tensors for benchmark runs of a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cgt.runtime.engines import Array, BatchShape, Engine, read_model_metadata
from cgt.runtime.image.preprocess import F32, U8
from cgt.runtime.models.third_party import ModelFormat


class ModelInputs:
    """Noise as input and preallocated outputs, for the calls of one thread.

    The values do not affect the speed of a convolution.

    Args:
        model: Model file; its metadata gives the type of the tensors.
        size: (height, width) of the tensor.
        batch: Images per run.
        model_format: What the user says about a model of another tool.

    Raises:
        ModelError: The model cannot be read.
    """

    def __init__(
        self,
        model: Path,
        size: tuple[int, int],
        batch: int = 1,
        model_format: ModelFormat | None = None,
    ) -> None:
        metadata = read_model_metadata(model, model_format)
        self.shape = BatchShape.from_metadata(metadata, *size, batch)
        random = np.random.default_rng(0)
        self.batch: Array
        self.out: Array
        self.batch, self.out = self.shape.allocate()
        if metadata.io == "uint8":
            self.batch[...] = random.integers(0, 256, self.shape.image_shape, dtype=np.uint8)
        else:
            self.batch[...] = random.uniform(-1, 1, self.shape.image_shape)
        self.statistics: tuple[F32, ...] = ()
        if metadata.statistics:
            # Weight 0: the network uses the statistics of its own input.
            statistics_in = np.zeros((batch, metadata.statistics), np.float32)
            self.statistics = (statistics_in, np.empty_like(statistics_in))

    @property
    def arrays(self) -> tuple[Array | F32, ...]:
        """Return the arguments of `Engine.infer`."""
        return (self.batch, self.out, *self.statistics)

    def infer(self, engine: Engine) -> None:
        """Run the engine once."""
        engine.infer(self.batch, self.out, *self.statistics)

    def translate(self, engine: Engine, images: F32) -> F32:
        """Translate images batch by batch.

        Args:
            engine: Engine that has the model open.
            images: float32 (N, C, H, W) in [-1, 1]; N is a multiple of the batch size.

        Returns:
            The outputs, with the type and range of `images`.
        """
        outputs = []
        for start in range(0, len(images), self.shape.batch_size):
            batch = images[start : start + self.shape.batch_size]
            self.batch[...] = _to_uint8(batch) if self.shape.io == "uint8" else batch
            self.infer(engine)
            outputs.append(_to_float32(self.out) if self.shape.io == "uint8" else self.out.copy())
        return np.concatenate(outputs).astype(np.float32)


def _to_uint8(images: F32) -> U8:
    levels: U8 = np.rint((images + 1) * 127.5).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    return levels


def _to_float32(batch: Array) -> F32:
    floats: F32 = batch.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - 1
    return floats
