"""Input and output arrays of a network for one thread, and the change to the output size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engines import Array, BatchShape
from ..image.geometry import Geometry
from ..image.preprocess import F32, U8, Packer, resize, unpack
from ..image.upsample import Upsampler
from ..models.metadata import ModelMetadata, Upsampling


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
        """Return the result of a slot, of the size of the network, as a new array."""
        result = self.result(slot)
        # A copy in either case: the array is reused.
        return unpack(result) if self._packer is not None else result.astype(np.uint8)

    def guide(self, slot: int) -> NDArray[Any]:
        """Return the image of a slot without padding, a view for `OutputResizer`."""
        return self._without_padding(self.batch[slot])

    def result(self, slot: int) -> NDArray[Any]:
        """Return the result of a slot without padding, likewise."""
        return self._without_padding(self.out[slot])

    def _without_padding(self, tensor: Array) -> NDArray[Any]:
        height, width = self._geometry.image_size
        if self._packer is not None:
            return tensor.view(np.float32)[:, :height, :width]
        return tensor.view(np.uint8)[:height, :width]

    def is_finite(self) -> bool:
        """Return whether no output is NaN or infinite."""
        return self._packer is None or bool(np.isfinite(self.out.sum(dtype=np.float32)))


class OutputResizer:
    """Changes results from the size of the network to the output size; any thread may call it.

    Results are upsampled, guided by the frame, if one of their sides grows.

    Args:
        geometry: sizes of the translated image and of the result.
        method: how results are upsampled; "none" as "bicubic".
        detail: strength of guided upsampling, 0 to 1.
    """

    def __init__(self, geometry: Geometry, method: Upsampling, detail: float) -> None:
        low_size, self._size = geometry.image_size, geometry.output_size
        self._upsampler: Upsampler | None = None
        grows = self._size[0] > low_size[0] or self._size[1] > low_size[1]
        if grows and method in ("guided", "detail"):
            self._upsampler = Upsampler(self._size, low_size, method=method, detail=detail)

    def __call__(self, image: U8, guide: NDArray[Any], result: NDArray[Any]) -> U8:
        """Return a result in the output size.

        Args:
            image: the frame, uint8 HWC RGB of any size.
            guide: the frame in the size of the network: float32 CHW in [-1, 1], or uint8 HWC.
            result: the output of the network; the same type and size.
        """
        if self._upsampler is None:
            pixels = result if result.dtype == np.uint8 else unpack(result)
            return resize(pixels, self._size, "bicubic")
        if image.shape[:2] != self._size:
            image = resize(image, self._size, "bicubic")
        return self._upsampler(image, guide, result)
