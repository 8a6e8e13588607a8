"""Resizing, packing to tensors and unpacking, by the C library (manual: `native/cgt.h`).

Training and serving share these functions. Downscaling antialiases as Pillow does. Values are
mapped linearly between bytes 0..255 and floats -1..1. Calls release the GIL, and any thread may
call them.

Arrays are used in place: rows may be any distance apart, pixels must be packed. An array that
cannot be used in place (a flipped view, every second pixel) is refused and never copied implicitly.
"""

from __future__ import annotations

import ctypes
import math
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import UsageError
from .libcgt import (
    C_FLOAT,
    COLOR_MATRICES,
    DTYPE_CODES,
    F16,
    F32,
    FILTERS,
    I420,
    LAYOUTS,
    LIB,
    NV12,
    PACKED_DTYPE_CODES,
    PIXELS,
    U8,
    Box,
    ColorMatrix,
    Filter,
    Layout,
    Packing,
    TensorView,
    check_status,
    simd_instruction_set,
)
from .validation import (
    YUV,
    check_box,
    check_count,
    check_filter,
    check_output_array,
    check_output_yuv,
    check_size,
    check_strides,
    data_address,
    describe_value,
    make_image_view,
)

__all__ = [
    "COLOR_MATRICES",
    "F16",
    "F32",
    "FILTERS",
    "LAYOUTS",
    "U8",
    "YUV",
    "ColorMatrix",
    "Filter",
    "Layout",
    "Packer",
    "pack",
    "resize",
    "round_up_to_multiple",
    "simd_instruction_set",
    "to_yuv",
    "unpack",
]


class _ResizePlan:
    """Filter tables of one (input size, output size, filter, box); read-only and thread-safe."""

    def __init__(
        self, source: tuple[int, int], target: tuple[int, int], filter: Filter, box: Box | None
    ) -> None:
        self.handle = ctypes.c_void_p()
        left, upper, right, lower = box = box or (0, 0, source[1], source[0])
        if not (0 <= left < right <= source[1] and 0 <= upper < lower <= source[0]):
            raise UsageError(
                f"box {box} is not (left, upper, right, lower) within {source[1]}x{source[0]}"
            )
        check_status(
            LIB.cgt_plan_create(
                ctypes.byref(self.handle),
                source[1],
                source[0],
                target[1],
                target[0],
                FILTERS.index(filter),
                (C_FLOAT * 4)(*box),
            )
        )
        weakref.finalize(self, LIB.cgt_plan_destroy, self.handle)

    def scratch_size(self, channels: int, format: int) -> int:
        """Return the scratch memory of a call in bytes."""
        return int(LIB.cgt_scratch_size(self.handle, channels, format))


@lru_cache(maxsize=64)
def _resize_plan(
    source: tuple[int, int], target: tuple[int, int], filter: Filter, box: Box | None
) -> _ResizePlan:
    return _ResizePlan(source, target, filter, box)


_thread_local = threading.local()


def scratch_address(size: int) -> int:
    """Return the address of this thread's scratch memory, which only grows."""
    if getattr(_thread_local, "size", -1) < size:
        _thread_local.scratch = np.empty(size, np.uint8)
        _thread_local.size, _thread_local.address = size, data_address(_thread_local.scratch)
    return int(_thread_local.address)


@lru_cache(maxsize=8)
def _thread_pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Return a thread pool; `process` is a key because threads do not survive a fork."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"cgt-pixels-{process}")


def run_in_bands(
    rows: int, threads: int, work: Callable[[int, int], int], multiple: int = 1
) -> None:
    """Call work(first_row, last_row) for all rows, in one band of whole multiples per thread."""
    if threads == 1 or rows < threads * multiple:
        check_status(work(0, rows))
        return
    edges = [rows * i // threads // multiple * multiple for i in range(threads)] + [rows]
    for code in _thread_pool(os.getpid(), threads).map(work, edges[:-1], edges[1:]):
        check_status(code)


# ---- The functions -------------------------------------------------------------------------------


def resize(
    image: U8 | YUV,
    size: tuple[int, int],
    filter: Filter = "bilinear",
    out: U8 | None = None,
    *,
    box: Box | None = None,
    threads: int = 1,
) -> U8:
    """Resize an image as Pillow does, antialiased when downscaling.

    Args:
        image: uint8 HWC with 1, 3 or 4 channels, or YUV.
        size: (height, width) of the result.
        filter: one of FILTERS.
        out: uint8 HWC array to write into.
        box: (left, upper, right, lower) in pixels, fractions allowed: the region that fills the
            result. As in Pillow's `resize`, the filter also reads pixels around it.
        threads: number of threads, each for a band of rows; the result does not depend on it.

    Returns:
        `out`, or a new array; RGB for YUV. It has the bytes of Pillow 13's result.

    Raises:
        UsageError: an argument is invalid; the message names it.
    """
    source, planes = make_image_view(image)
    size = check_size(size)
    out = check_output_array(out, (*size, source.channels), np.dtype(np.uint8), planes)
    plan = _resize_plan((source.height, source.width), size, check_filter(filter), check_box(box))
    stride, address = check_strides(out, "out", packed=2)[0], data_address(out)
    scratch = plan.scratch_size(source.channels, source.format)

    def work(first_row: int, last_row: int) -> int:
        return int(
            LIB.cgt_resize(
                plan.handle,
                ctypes.byref(source),
                address,
                stride,
                first_row,
                last_row,
                scratch_address(scratch),
            )
        )

    run_in_bands(size[0], check_count(threads, "threads"), work)
    return out


_DEFAULT_SCALE, _DEFAULT_OFFSET = 1 / 127.5, -1.0


class Packer:
    """Converts images of one size to tensors; a call allocates no memory.

    Any thread may call it.

    Args:
        source_size: (height, width) of the images.
        size: (height, width) to resize to; the size of the images by default.
        filter: as in `resize`.
        swap_rb: swap the first and third channel, for BGR input.
        channels: 1, 3 or 4; 3 for YUV.
        dtype: float32, float16, or uint8 for the resized levels themselves, rounded to nearest.
            The latter is faster than `resize`, whose bytes are those of Pillow.
        layout: "CHW" or "HWC".
        scale: factor, or one per channel of the tensor: a byte b becomes b * scale + offset.
            Not for uint8.
        offset: summand, or one per channel. The default maps bytes to [-1, 1].
        multiple: pad right and below by reflection, without repeating the last row and column,
            until both sides are multiples of it.
        box: as in `resize`.
        threads: as in `resize`.

    Raises:
        UsageError: an argument is invalid; the message names it.
    """

    def __init__(
        self,
        source_size: tuple[int, int],
        size: tuple[int, int] | None = None,
        filter: Filter = "bilinear",
        swap_rb: bool = False,
        *,
        channels: int = 3,
        dtype: DTypeLike = np.float32,
        layout: Layout = "CHW",
        scale: float | Sequence[float] = _DEFAULT_SCALE,
        offset: float | Sequence[float] = _DEFAULT_OFFSET,
        multiple: int = 1,
        box: Box | None = None,
        threads: int = 1,
    ) -> None:
        self.source_size = check_size(source_size, "source")
        if size is None and box is not None:
            raise UsageError("size must be given with a box")
        self.size = self.source_size if size is None else check_size(size)
        if channels not in (1, 3, 4) or (swap_rb and channels == 1):
            raise UsageError("channels must be 1, 3 or 4; and 3 or 4 for swap_rb")
        self.dtype = np.dtype(dtype)
        if self.dtype not in PACKED_DTYPE_CODES:
            raise UsageError(f"dtype must be float32, float16 or uint8, not {self.dtype}")
        if self.dtype == np.uint8 and (scale, offset) != (_DEFAULT_SCALE, _DEFAULT_OFFSET):
            raise UsageError("scale and offset are not for dtype uint8")
        if layout not in LAYOUTS:
            raise UsageError(f"layout must be CHW or HWC, not {layout!r}")
        self.channels = channels
        self._layout = LAYOUTS.index(layout)
        self.threads = check_count(threads, "threads")
        height, width = check_size(
            round_up_to_multiple(self.size, check_count(multiple, "multiple")), "size, padded,"
        )
        if height >= 2 * self.size[0] or width >= 2 * self.size[1]:
            raise UsageError(
                f"multiple {multiple} is too large: {self.size[1]}x{self.size[0]} cannot be padded "
                "by reflection to it"
            )
        self.shape = (channels, height, width) if layout == "CHW" else (height, width, channels)
        """Shape of the tensor."""
        self._plan = _resize_plan(self.source_size, self.size, check_filter(filter), check_box(box))
        formats = (PIXELS, NV12, I420) if channels == 3 else (PIXELS,)
        self._scratch_sizes = [self._plan.scratch_size(channels, format) for format in formats]
        self._packing = Packing(
            bool(swap_rb),
            width,
            height,
            (C_FLOAT * 4)(*_per_channel(scale, channels, "scale")),
            (C_FLOAT * 4)(*_per_channel(offset, channels, "offset")),
        )

    def __call__(self, image: U8 | YUV, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Convert an image to a tensor.

        Resized values are not rounded to bytes; values outside of 0..255 are clamped before they
        are scaled.

        Args:
            image: uint8 HWC, or YUV.
            out: array of this packer's `shape` and `dtype` to write into. Planes and rows may be
                apart, as in a slot of a batch or a corner of a larger tensor.

        Returns:
            `out`, or a new array.

        Raises:
            UsageError: an argument is invalid; the message names it.
        """
        source, planes = make_image_view(image)
        if (source.height, source.width, source.channels) != (*self.source_size, self.channels):
            raise UsageError(
                f"image must be {self.source_size[1]}x{self.source_size[0]} with {self.channels} "
                f"channels, not {source.width}x{source.height} with {source.channels}"
            )
        out = check_output_array(out, self.shape, self.dtype, planes)
        item = self.dtype.itemsize
        if self._layout == 0:  # CHW
            plane_stride, row_stride, _ = check_strides(out, "out", packed=1)
        else:
            plane_stride, row_stride = 0, check_strides(out, "out", packed=2)[0]
        tensor = TensorView(
            data_address(out),
            PACKED_DTYPE_CODES[self.dtype],
            self._layout,
            row_stride // item,
            plane_stride // item,
        )

        def work(first_row: int, last_row: int) -> int:
            return int(
                LIB.cgt_pack(
                    self._plan.handle,
                    ctypes.byref(source),
                    ctypes.byref(tensor),
                    ctypes.byref(self._packing),
                    first_row,
                    last_row,
                    scratch_address(self._scratch_sizes[source.format]),
                )
            )

        run_in_bands(self.size[0], self.threads, work)
        return out


def _per_channel(value: float | Sequence[float], channels: int, name: str) -> list[float]:
    try:
        values = [float(v) for v in np.broadcast_to(np.asarray(value, np.float64), channels)]
    except (TypeError, ValueError):
        values = []
    if not values or not all(math.isfinite(v) for v in values):
        raise UsageError(f"{name} must be a finite number or {channels} of them, not {value!r}")
    return values


@lru_cache(maxsize=64)
def _cached_packer(*args: Any, **kwargs: Any) -> Packer:
    return Packer(*args, **kwargs)


def pack(
    image: U8 | YUV,
    size: tuple[int, int] | None = None,
    filter: Filter = "bilinear",
    swap_rb: bool = False,
    out: F32 | None = None,
) -> F32:
    """Resize an image and convert it to a float32 CHW tensor in [-1, 1].

    `Packer` has more options.

    Args:
        image: uint8 HWC with 1, 3 or 4 channels, or YUV.
        size: (height, width) to resize to; the size of the image by default.
        filter: as in `resize`.
        swap_rb: swap the first and third channel, for BGR input.
        out: float32 CHW array to write into.

    Returns:
        `out`, or a new array.

    Raises:
        UsageError: an argument is invalid; the message names it.
    """
    shape = (*image.y.shape, 3) if isinstance(image, YUV) else np.shape(image)
    if len(shape) != 3 or shape[2] not in (1, 3, 4) or 0 in shape:
        make_image_view(image)  # raises an error that explains what is wrong
    size = None if size is None else check_size(size)
    check_filter(filter)
    return _cached_packer(shape[:2], size, filter, bool(swap_rb), channels=shape[2])(image, out)


@overload
def unpack(
    tensor: F32 | F16,
    swap_rb: bool = False,
    out: U8 | None = None,
    *,
    truncate: bool = False,
    threads: int = 1,
) -> U8: ...


@overload
def unpack(
    tensor: F32 | F16,
    swap_rb: bool = False,
    *,
    out: YUV,
    truncate: bool = False,
    threads: int = 1,
) -> YUV: ...


def unpack(
    tensor: F32 | F16,
    swap_rb: bool = False,
    out: U8 | YUV | None = None,
    *,
    truncate: bool = False,
    threads: int = 1,
) -> U8 | YUV:
    """Convert the output of a network to an image.

    Bytes are `(x + 1) * 127.5`, clamped; NaN becomes 0.

    Args:
        tensor: float32 or float16 CHW in [-1, 1] with 1, 3 or 4 channels, 3 for YUV. Rows and
            planes may be apart, so cropping a padded tensor costs nothing.
        swap_rb: swap the first and third channel, for BGR output.
        out: uint8 HWC array to write into, or YUV with the bytes of `to_yuv(unpack(tensor))`.
        truncate: round toward zero, as pytorch-CycleGAN-and-pix2pix does, instead of to nearest,
            half to even.
        threads: as in `resize`.

    Returns:
        `out`, or a new array.

    Raises:
        UsageError: an argument is invalid; the message names it.
    """
    if not isinstance(tensor, np.ndarray) or tensor.dtype not in DTYPE_CODES or tensor.ndim != 3:
        raise UsageError(f"tensor must be a float32|16 CHW array, not {describe_value(tensor)}")
    channels, height, width = tensor.shape
    if channels not in (1, 3, 4) or (swap_rb and channels == 1):
        raise UsageError(f"tensor must have 1, 3 or 4 channels, 3 or 4 for swap_rb, not {channels}")
    check_size((height, width), "tensor.shape")
    plane_stride, row_stride, item = check_strides(tensor, "tensor", packed=1)
    source = TensorView(
        data_address(tensor), DTYPE_CODES[tensor.dtype], 0, row_stride // item, plane_stride // item
    )
    check_count(threads, "threads")
    if isinstance(out, YUV):
        if channels != 3:
            raise UsageError(f"tensor must have 3 channels for YUV, not {channels}")
        target = check_output_yuv(out, (height, width), (tensor,))

        def work_yuv(first_row: int, last_row: int) -> int:
            return int(
                LIB.cgt_unpack_yuv(
                    ctypes.byref(source),
                    bool(swap_rb),
                    bool(truncate),
                    ctypes.byref(target),
                    first_row,
                    last_row,
                )
            )

        run_in_bands(height, threads, work_yuv, multiple=2)
        return out
    out = check_output_array(out, (height, width, channels), np.dtype(np.uint8), (tensor,))
    stride, address = check_strides(out, "out", packed=2)[0], data_address(out)

    def work(first_row: int, last_row: int) -> int:
        return int(
            LIB.cgt_unpack(
                ctypes.byref(source),
                width,
                height,
                channels,
                bool(swap_rb),
                bool(truncate),
                address,
                stride,
                first_row,
                last_row,
            )
        )

    run_in_bands(height, threads, work)
    return out


def to_yuv(
    image: U8,
    *,
    matrix: ColorMatrix = "bt601",
    full_range: bool = False,
    out: YUV | None = None,
    threads: int = 1,
) -> YUV:
    """Convert an RGB image to YUV 4:2:0.

    Luma and chroma are rounded to nearest. A chroma sample is the mean of its block of 2x2 pixels.

    Args:
        image: uint8 HWC with 3 channels.
        matrix: "bt601" or "bt709"; that of `out` if it is given.
        full_range: luma is 0..255 instead of 16..235; that of `out` if it is given.
        out: YUV to write into.
        threads: as in `resize`.

    Returns:
        `out`, or a new I420 image.

    Raises:
        UsageError: an argument is invalid; the message names it.
    """
    source, planes = make_image_view(image)
    if source.format != PIXELS or source.channels != 3:
        raise UsageError("image must be uint8 HWC with 3 channels")
    size = (source.height, source.width)
    if out is None:
        out = YUV.empty(size, matrix, full_range)
    target = check_output_yuv(out, size, planes)

    def work(first_row: int, last_row: int) -> int:
        return int(
            LIB.cgt_rgb_to_yuv(ctypes.byref(source), ctypes.byref(target), first_row, last_row)
        )

    run_in_bands(size[0], check_count(threads, "threads"), work, multiple=2)
    return out


def round_up_to_multiple(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """Return (height, width) rounded up to multiples of `multiple`."""
    height, width = (-(-side // multiple) * multiple for side in size)
    return height, width
