"""Input and output arrays of a network for one thread."""

from __future__ import annotations

import numpy as np

from ..engines import Array, BatchShape
from ..image.geometry import Geometry
from ..image.preprocess import F32, U8, Packer, resize, unpack
from ..models.metadata import ModelMetadata


class IOBuffers:
    """Arrays for batches of images of one size.

    Args:
        metadata: of the model.
        frame_size: (height, width) of the images.
        geometry: sizes of the translated image, the tensor and the result.
        batch_size: images per run of the network.

    Attributes:
        batch: images that `Engine.infer` reads.
        out: images that `Engine.infer` writes.
        statistics_in: float32 N,S statistics, or None for a network without them. They start as
            zeros, which means instance normalization.
        statistics_out: the statistics that the network used, or None.
    """

    def __init__(
        self,
        metadata: ModelMetadata,
        frame_size: tuple[int, int],
        geometry: Geometry,
        batch_size: int = 1,
    ) -> None:
        self._geometry, self._filter = geometry, metadata.filter
        self._packer: Packer | None = None
        self.batch: Array
        self.out: Array
        shape = BatchShape.from_metadata(metadata, *geometry.tensor_size, batch_size)
        self.batch, self.out = shape.allocate()
        if metadata.io == "float":
            self._packer = Packer(
                frame_size,
                geometry.image_size,
                metadata.filter,
                channels=metadata.in_channels,
                multiple=metadata.multiple,
            )
        self.statistics_in: F32 | None = None
        self.statistics_out: F32 | None = None
        if metadata.statistics:
            self.statistics_in = np.zeros((batch_size, metadata.statistics), np.float32)
            self.statistics_out = np.zeros_like(self.statistics_in)

    @property
    def statistics(self) -> tuple[F32, F32] | tuple[()]:
        """The arguments of `Engine.infer` after batch and out."""
        if self.statistics_in is None or self.statistics_out is None:
            return ()
        return self.statistics_in, self.statistics_out

    def load(self, slot: int, image: U8) -> None:
        """Resize an image (uint8 HWC) into a slot of the batch, padded by reflection."""
        if self._packer is not None:
            self._packer(image, self.batch[slot])
            return
        height, width = self._geometry.image_size
        pixels: U8 = self.batch[slot].view(np.uint8)
        resize(image, (height, width), self._filter, out=pixels[:height, :width])
        pad_below, pad_right = pixels.shape[0] - height, pixels.shape[1] - width
        # The last row and column are not repeated.
        pixels[height:, :width] = pixels[height - 1 - pad_below : height - 1, :width][::-1]
        pixels[:, width:] = pixels[:, width - 1 - pad_right : width - 1][:, ::-1]

    def unload(self, slot: int) -> U8:
        """Return the result of a slot, resized to the output size, as a new array."""
        height, width = self._geometry.image_size
        if self._packer is not None:
            floats: F32 = self.out.view(np.float32)
            image = unpack(floats[slot, :, :height, :width])
        else:
            image = self.out[slot, :height, :width].astype(np.uint8)  # a copy: the array is reused
        if self._geometry.output_size != self._geometry.image_size:
            image = resize(image, self._geometry.output_size, "bicubic")
        return image

    def is_finite(self) -> bool:
        """Return whether no output is NaN or infinite."""
        return self._packer is None or bool(np.isfinite(self.out.sum(dtype=np.float32)))
