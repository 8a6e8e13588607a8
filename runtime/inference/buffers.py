"""Input and output arrays of a network for one thread."""

from __future__ import annotations

import numpy as np

from ..engines import Array
from ..image.geometry import Geometry
from ..image.preprocess import F32, YUV, Packer, resize, to_yuv, unpack
from ..image.validation import Pixels, YUVFormat
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
        self._geometry = geometry
        self._is_uint8 = metadata.io == "uint8"
        self._packer = Packer(
            frame_size,
            geometry.image_size,
            metadata.filter,
            dtype=np.uint8 if self._is_uint8 else np.float32,
            layout="HWC" if self._is_uint8 else "CHW",
            multiple=metadata.multiple,
        )
        self.batch: Array = np.empty((batch_size, *self._packer.shape), self._packer.dtype)
        self.out: Array = np.zeros_like(self.batch)
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

    def load(self, slot: int, image: Pixels) -> None:
        """Resize an image into a slot of the batch, padded by reflection."""
        self._packer(image, self.batch[slot])

    def unload(self, slot: int, yuv_format: YUVFormat | None = None) -> Pixels:
        """Return the result of a slot, resized to the output size, as a new image.

        It is YUV (I420, see `YUV.empty`) if `yuv_format` is given, else uint8 HWC RGB.
        """
        height, width = self._geometry.image_size
        output_size = self._geometry.output_size
        yuv = None
        if yuv_format is not None:
            yuv = YUV.empty(output_size, yuv_format.matrix, yuv_format.full_range)
        if not self._is_uint8:
            floats: F32 = self.out.view(np.float32)
            tensor = floats[slot, :, :height, :width]
            if output_size == (height, width):
                return unpack(tensor, out=yuv)
            image = unpack(tensor)
        else:
            image = self.out[slot, :height, :width].view(np.uint8)
        if output_size != (height, width):
            image = resize(image, output_size, "bicubic")
        elif yuv is None:
            return image.copy()  # the array is reused
        return image if yuv is None else to_yuv(image, out=yuv)

    def is_finite(self) -> bool:
        """Return whether no output is NaN or infinite."""
        return self._is_uint8 or bool(np.isfinite(self.out.sum(dtype=np.float32)))
