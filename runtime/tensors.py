"""One thread's arrays between a picture and a network."""

from __future__ import annotations

import numpy as np

from .artifact import Artifact
from .engines import Array
from .geometry import Geometry
from .preprocess import F32, U8, Packer, resize, unpack


class Tensors:
    """Pictures of one size in, pictures of one size out, `count` at a time.

    batch, out: what `Engine.infer` reads and writes. given, used: N,S float32 statistics, None for
    a network without them; `given` starts as zeros, that is instance normalisation.
    """

    def __init__(
        self, artifact: Artifact, frame: tuple[int, int], geometry: Geometry, count: int = 1
    ) -> None:
        self._geometry, self._filter = geometry, artifact.filter
        self._packer: Packer | None = None
        self.batch: Array
        if artifact.io == "uint8":
            self.batch = np.empty((count, *geometry.tensor, 3), np.uint8)
        else:
            self._packer = Packer(
                frame, geometry.picture, artifact.filter, multiple=artifact.multiple
            )
            self.batch = np.empty((count, *self._packer.shape), np.float32)
        self.out: Array = np.zeros_like(self.batch)
        self.given: F32 | None = None
        self.used: F32 | None = None
        if artifact.statistics:
            self.given = np.zeros((count, artifact.statistics), np.float32)
            self.used = np.zeros_like(self.given)

    @property
    def statistics(self) -> tuple[F32, F32] | tuple[()]:
        """What `Engine.infer` wants beside batch and out."""
        return () if self.given is None or self.used is None else (self.given, self.used)

    def put(self, slot: int, image: U8) -> None:
        """Resize a picture (uint8 HWC RGB) into the batch, padded by reflection."""
        if self._packer is not None:
            self._packer(image, self.batch[slot])
            return
        height, width = self._geometry.picture
        pixels: U8 = self.batch[slot].view(np.uint8)
        resize(image, (height, width), self._filter, out=pixels[:height, :width])
        below, right = pixels.shape[0] - height, pixels.shape[1] - width
        # The last row and column are not repeated.
        pixels[height:, :width] = pixels[height - 1 - below : height - 1, :width][::-1]
        pixels[:, width:] = pixels[:, width - 1 - right : width - 1][:, ::-1]

    def take(self, slot: int) -> U8:
        """A translated picture of the geometry's output size, an array of its own."""
        height, width = self._geometry.picture
        if self._packer is not None:
            floats: F32 = self.out.view(np.float32)
            image = unpack(floats[slot, :, :height, :width])
        else:
            image = self.out[slot, :height, :width].astype(np.uint8)  # the array is used again
        if self._geometry.output != self._geometry.picture:
            image = resize(image, self._geometry.output, "bicubic")
        return image

    def finite(self) -> bool:
        """Whether all that came out are numbers."""
        return self._packer is None or bool(np.isfinite(self.out.sum(dtype=np.float32)))
