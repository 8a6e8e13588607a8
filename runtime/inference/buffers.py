"""Input and output arrays of a network for one thread, and the change to the output size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engines import Array, BatchShape
from ..image.channels import convert_channels
from ..image.geometry import Geometry
from ..image.preprocess import F32, U8, YUV, Packer, resize, to_yuv, unpack
from ..image.upsample import Upsampler
from ..image.validation import Pixels, YUVFormat
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
        self._geometry = geometry
        self._is_uint8 = metadata.io == "uint8"
        self._packer = Packer(
            frame_size,
            geometry.image_size,
            metadata.filter,
            channels=metadata.in_channels,
            dtype=np.uint8 if self._is_uint8 else np.float32,
            layout="HWC" if self._is_uint8 else "CHW",
            multiple=metadata.multiple,
        )
        self.batch: Array
        self.out: Array
        shape = BatchShape.from_metadata(metadata, *geometry.tensor_size, batch_size)
        self.batch, self.out = shape.allocate()
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
        """Return the result of a slot, in the size of the network, as a new image.

        It is YUV (I420, see `YUV.empty`) if `yuv_format` is given, else uint8 HWC.
        """
        result = self.result(slot)
        yuv = None
        if yuv_format is not None:
            size = self._geometry.image_size
            yuv = YUV.empty(size, yuv_format.matrix, yuv_format.full_range)
        if not self._is_uint8:
            return unpack(result, out=yuv)
        return result.copy() if yuv is None else to_yuv(result, out=yuv)  # the array is reused

    def guide(self, slot: int) -> NDArray[Any]:
        """Return the image of a slot without padding, a view for `OutputResizer`."""
        return self._without_padding(self.batch[slot])

    def result(self, slot: int) -> NDArray[Any]:
        """Return the result of a slot without padding, likewise."""
        return self._without_padding(self.out[slot])

    def _without_padding(self, tensor: Array) -> NDArray[Any]:
        height, width = self._geometry.image_size
        if not self._is_uint8:
            return tensor.view(np.float32)[:, :height, :width]
        return tensor.view(np.uint8)[:height, :width]

    def is_finite(self) -> bool:
        """Return whether no output is NaN or infinite."""
        return self._is_uint8 or bool(np.isfinite(self.out.sum(dtype=np.float32)))


_MAX_RADIUS_PX = 8


class OutputResizer:
    """Changes results from the size of the network to the output size, for one thread.

    Results are upsampled, guided by the frame, if one of their sides grows. The radius of the
    guided filter is the number of output pixels per pixel of the network, up to 8. At a small scale
    the network itself outputs most of the detail, and a wide window would smooth it away.
    docs/results/upsampling.md has the measurements.

    The guide of a network that takes gray is gray. A gray result is guided as three equal channels.
    The alpha channel of a result is enlarged without a guide.

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
            growth = self._size[0] * self._size[1] / (low_size[0] * low_size[1])
            radius = max(1, min(_MAX_RADIUS_PX, round(growth)))
            self._upsampler = Upsampler(
                self._size, low_size, method=method, radius=radius, detail=detail
            )

    def __call__(
        self,
        image: Pixels,
        guide: NDArray[Any],
        result: NDArray[Any],
        yuv_format: YUVFormat | None = None,
    ) -> Pixels:
        """Return a result in the output size.

        Args:
            image: the frame, of any size, with the channels that the network takes.
            guide: the frame in the size of the network: float32 CHW in [-1, 1], or uint8 HWC.
            result: the output of the network; the same type and size.
            yuv_format: the matrix and range of the result in YUV; None for uint8 HWC.
        """
        if self._upsampler is None:
            return self._bicubic(result, yuv_format)
        if image.shape[:2] != self._size:
            image = resize(image, self._size, "bicubic")
        channels = _channels(result)
        if not _channels(guide) == channels == 3:
            return self._upsample_channels(image, _to_bytes(guide), _to_bytes(result))
        out: Pixels
        if yuv_format is None:
            out = np.empty((*self._size, 3), np.uint8)
        else:
            out = YUV.empty(self._size, yuv_format.matrix, yuv_format.full_range)
        return self._upsampler(image, guide, result, out)

    def _bicubic(self, result: NDArray[Any], yuv_format: YUVFormat | None) -> Pixels:
        image = resize(_to_bytes(result), self._size, "bicubic")
        if yuv_format is None:
            return image
        return to_yuv(image, matrix=yuv_format.matrix, full_range=yuv_format.full_range)

    def _upsample_channels(self, image: Pixels, guide: U8, result: U8) -> U8:
        """Upsample a result that is not RGB, or not the translation of RGB."""
        assert self._upsampler is not None
        source = resize(image, self._size) if isinstance(image, YUV) else image
        rgb = [convert_channels(pixels, 3) for pixels in (source, guide, result)]
        colors = self._upsampler(rgb[0], rgb[1], rgb[2], np.empty((*self._size, 3), np.uint8))
        assert isinstance(colors, np.ndarray)
        if result.shape[2] == 4:
            alpha = np.ascontiguousarray(result[..., 3:])
            return np.dstack([colors, resize(alpha, self._size, "bicubic")])
        return np.ascontiguousarray(colors[..., : result.shape[2]])


def _channels(tensor: NDArray[Any]) -> int:
    return int(tensor.shape[2 if tensor.dtype == np.uint8 else 0])


def _to_bytes(tensor: NDArray[Any]) -> U8:
    return tensor if tensor.dtype == np.uint8 else unpack(tensor)
