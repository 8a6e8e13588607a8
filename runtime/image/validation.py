"""Validation of arrays and arguments for the C library.

All functions raise UsageError with the name of the invalid argument.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .libcgt import (
    COLOR_MATRICES,
    FILTERS,
    I420,
    MAX_SIDE,
    NV12,
    PIXELS,
    U8,
    Box,
    ColorMatrix,
    Filter,
    ImageView,
)


@dataclass(frozen=True)
class YUVFormat:
    """The matrix and range of YUV images; see `YUV`."""

    matrix: ColorMatrix = "bt601"
    full_range: bool = False


@dataclass(frozen=True, eq=False)
class YUV:
    """An image in YUV 4:2:0, as decoders output it and encoders take it.

    `resize` and `pack` treat it as RGB. Each chroma sample belongs to a block of 2x2 pixels.

    Attributes:
        y: luma, uint8 (height, width).
        u: for NV12, U and V interleaved, uint8 (ceil(height / 2), ceil(width / 2), 2). For I420,
            uint8 (ceil(height / 2), ceil(width / 2)).
        v: None for NV12. For I420, uint8 of the shape of `u`.
        matrix: "bt601" or "bt709".
        full_range: luma is 0..255 instead of 16..235.
        buffer: for I420 from `empty`, the memory of its planes.
    """

    y: U8
    u: U8
    v: U8 | None = None
    matrix: ColorMatrix = "bt601"
    full_range: bool = False
    buffer: U8 | None = None

    @classmethod
    def empty(
        cls, size: tuple[int, int], matrix: ColorMatrix = "bt601", full_range: bool = False
    ) -> YUV:
        """Return an I420 image of (height, width) `size` with arbitrary contents.

        Its planes follow each other in one `buffer` of shape (3/2 height, width), the form that
        encoders take. There, odd sides are rounded up to even ones; see `even_buffer`.
        """
        height, width = ((side + 1) // 2 * 2 for side in check_size(size))
        buffer = np.empty((height * 3 // 2, width), np.uint8)
        chroma = buffer[height:].reshape(2, height // 2, width // 2)
        luma = buffer[: size[0], : size[1]]
        return cls(luma, chroma[0], chroma[1], matrix, full_range, buffer)

    def even_buffer(self) -> U8:
        """Return the `buffer` of an image from `empty`, its last row and column repeated to even.

        Chroma is complete for odd sides, too.
        """
        assert self.buffer is not None
        height, width = self.y.shape
        even_height = self.buffer.shape[0] // 3 * 2
        if width < self.buffer.shape[1]:
            self.buffer[:height, width] = self.y[:, -1]
        if height < even_height:
            self.buffer[height] = self.buffer[height - 1]
        return self.buffer

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (height, width, 3), the shape of the image in RGB."""
        return (*self.y.shape, 3)

    @property
    def format(self) -> YUVFormat:
        """Return the matrix and range."""
        return YUVFormat(self.matrix, self.full_range)


Pixels = U8 | YUV
"""An image: uint8 HWC RGB, or YUV."""


def describe_value(value: object) -> str:
    """Return a short description of a value for error messages."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    return type(value).__name__


def check_strides(array: NDArray[Any], name: str, packed: int) -> tuple[int, ...]:
    """Return the strides of an array in bytes, if the C library can use them.

    The array must not overlap itself or be flipped, its axes must be in memory order, and its last
    `packed` axes must have no gaps. The stride of an axis of length 1 is arbitrary in NumPy; it is
    replaced.
    """
    return _normalize_strides(array.shape, array.strides, array.itemsize, packed, name)


@lru_cache(maxsize=256)
def _normalize_strides(
    shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int, packed: int, name: str
) -> tuple[int, ...]:
    normalized = list(strides)
    extent = itemsize
    for axis in reversed(range(len(shape))):
        if shape[axis] == 1:
            normalized[axis] = extent
        stride = normalized[axis]
        if stride < extent or (axis >= len(shape) - packed and stride > extent):
            what = "negative" if stride < 0 else "overlapping" if stride < extent else "gapped"
            raise UsageError(
                f"{name} has strides {strides} for shape {shape}: axis {axis} is {what}; "
                f"pass a copy: np.ascontiguousarray({name})"
            )
        extent += stride * (shape[axis] - 1)
    return tuple(normalized)


def check_size(size: object, name: str = "size") -> tuple[int, int]:
    """Return (height, width) as integers, each from 1 to MAX_SIDE."""
    try:
        height, width = map(operator.index, size)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise UsageError(f"{name} must be (height, width), not {size!r}") from None
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise UsageError(f"{name} must have sides of 1 to {MAX_SIDE}, not {width}x{height}")
    return height, width


def check_plane(plane: object, name: str, shape: tuple[int, ...] | None) -> NDArray[Any]:
    """Return the plane if it is a uint8 array, and of this shape if one is given."""
    if not isinstance(plane, np.ndarray) or plane.dtype != np.uint8:
        raise UsageError(f"{name} must be a uint8 array, not {describe_value(plane)}")
    if shape is not None and plane.shape != shape:
        raise UsageError(f"{name} must have shape {shape}, not {plane.shape}")
    return plane


def pack_pixels(image: Pixels) -> Pixels:
    """Return the image itself if the C library can read it, else a C-contiguous HWC copy."""
    if isinstance(image, YUV):
        return image
    row_stride, pixel_stride, channel_stride = image.strides
    _, width, channels = image.shape
    packed = channel_stride == 1 and pixel_stride == channels and row_stride >= width * channels
    return image if packed else np.ascontiguousarray(image)


def make_image_view(image: U8 | YUV) -> tuple[ImageView, tuple[U8, ...]]:
    """Return the C description of an image, and the arrays that it points into."""
    if isinstance(image, YUV):
        return _make_yuv_view(image)
    pixels = check_plane(image, "image", None)
    shape = pixels.shape
    if len(shape) != 3 or shape[2] not in (1, 3, 4):
        raise UsageError(f"image must have shape (height, width, 1|3|4), not {shape}")
    height, width, channels = shape
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        check_size((height, width), "image.shape")
    stride = check_strides(pixels, "image", packed=2)[0]
    source = ImageView(
        width, height, channels, PIXELS, data_address(pixels), None, None, stride, 0, 0, 0, 0
    )
    return source, (pixels,)


def _make_yuv_view(image: YUV, name: str = "image") -> tuple[ImageView, tuple[U8, ...]]:
    luma = check_plane(image.y, f"{name}.y", None)
    if luma.ndim != 2:
        raise UsageError(f"{name}.y must have shape (height, width), not {luma.shape}")
    if image.matrix not in COLOR_MATRICES:
        raise UsageError(f"{name}.matrix must be bt601 or bt709, not {image.matrix!r}")
    height, width = luma.shape
    check_size((height, width), f"{name}.y.shape")
    half = ((height + 1) // 2, (width + 1) // 2)
    planes: tuple[U8, ...]
    if image.v is None:
        format = NV12
        planes = (luma, check_plane(image.u, f"{name}.u", (*half, 2)))
    else:
        format = I420
        planes = (
            luma,
            check_plane(image.u, f"{name}.u", half),
            check_plane(image.v, f"{name}.v", half),
        )
    strides = [
        check_strides(plane, f"{name}.{letter}", plane.ndim - 1)[0]
        for plane, letter in zip(planes, "yuv", strict=False)
    ]
    addresses = [data_address(plane) for plane in planes]
    if image.v is None:
        strides.append(0)
        addresses.append(0)
    matrix = COLOR_MATRICES.index(image.matrix)
    source = ImageView(width, height, 3, format, *addresses, *strides, matrix, image.full_range)
    return source, planes


def data_address(array: NDArray[Any]) -> int:
    """Return the address of the first element; much faster than `array.ctypes.data`."""
    return int(array.__array_interface__["data"][0])


def check_output_array(
    out: NDArray[Any] | None,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    inputs: tuple[NDArray[Any], ...],
    name: str = "out",
) -> NDArray[Any]:
    """Return a checked `out` that does not overlap the inputs, or a new array if it is None."""
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray) or out.dtype != dtype or out.shape != shape:
        raise UsageError(
            f"{name} must be a {dtype.name} array of shape {shape}, not {describe_value(out)}"
        )
    if not out.flags.writeable:
        raise UsageError(f"{name} is read-only")
    for array in inputs:
        if np.may_share_memory(out, array) and np.shares_memory(out, array):
            raise UsageError(f"{name} overlaps the input in memory; use separate arrays")
    return out


def check_output_yuv(
    out: YUV, size: tuple[int, int], inputs: tuple[NDArray[Any], ...]
) -> ImageView:
    """Return the C description of a YUV image of this size that does not overlap the inputs."""
    view, planes = _make_yuv_view(out, "out")
    if (view.height, view.width) != size:
        raise UsageError(f"out must be {size[1]}x{size[0]}, not {view.width}x{view.height}")
    for plane, name in zip(planes, "yuv", strict=False):
        check_output_array(plane, plane.shape, plane.dtype, inputs, f"out.{name}")
    return view


def check_count(value: int, name: str) -> int:
    """Return a whole number of at least 1 as an int."""
    try:
        count = operator.index(value)
    except TypeError:
        raise UsageError(f"{name} must be a whole number, not {value!r}") from None
    if count < 1:
        raise UsageError(f"{name} must be at least 1, not {count}")
    return count


def check_filter(filter: Filter) -> Filter:
    """Return the filter if it is one of FILTERS."""
    if filter not in FILTERS:
        raise UsageError(f"filter {filter!r} is not one of {', '.join(FILTERS)}")
    return filter


def check_box(box: object) -> Box | None:
    """Return (left, upper, right, lower) as floats; the resize plan checks that it is inside."""
    if box is None:
        return None
    try:
        left, upper, right, lower = map(float, box)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise UsageError(f"box must be (left, upper, right, lower), not {box!r}") from None
    return left, upper, right, lower
