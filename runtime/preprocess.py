"""Pixels to tensors and back, by the C library (`native/cgt.h` is its manual).

One definition for training and serving: shrinking antialiases as Pillow does, values are mapped
linearly between bytes 0..255 and floats -1..1. Calls release the GIL.
"""

from __future__ import annotations

import ctypes
import weakref
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .errors import CgtError, UsageError

Filter = Literal["bilinear", "bicubic"]  # in the order of cgt.h's cgt_filter
FILTERS: tuple[Filter, ...] = get_args(Filter)

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]

_PTR, _STEP, _INT = ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int


def _load() -> ctypes.CDLL:
    path = Path(__file__).parent / "native" / "libcgt.so"
    try:
        lib = ctypes.CDLL(str(path))
    except OSError as error:
        raise CgtError(
            f"the C library does not load ({error}); reinstall with `pip install .`"
        ) from None
    lib.cgt_plan_create.argtypes = [ctypes.POINTER(_PTR), _INT, _INT, _INT, _INT, _INT]
    lib.cgt_plan_destroy.argtypes = [_PTR]
    lib.cgt_plan_destroy.restype = None
    lib.cgt_plan_scratch.argtypes = [_PTR, _INT]
    lib.cgt_plan_scratch.restype = ctypes.c_size_t
    lib.cgt_resize_u8.argtypes = [_PTR, _INT, _PTR, _STEP, _PTR, _STEP, _PTR]
    lib.cgt_pack_f32.argtypes = [_PTR, _INT, _INT, _PTR, _STEP, _PTR, _STEP, _STEP, _PTR]
    lib.cgt_unpack_f32.argtypes = [_INT, _INT, _INT, _INT, _PTR, _STEP, _STEP, _PTR, _STEP]
    lib.cgt_strerror.argtypes = [_INT]
    lib.cgt_strerror.restype = ctypes.c_char_p
    return lib


_lib = _load()


def _check(code: int) -> None:
    if code != 0:
        raise UsageError(_lib.cgt_strerror(code).decode())


class _Plan:
    """Filter tables of one (input size, output size, filter)."""

    def __init__(self, source: tuple[int, int], target: tuple[int, int], filter: str) -> None:
        self.handle = ctypes.c_void_p()
        if filter not in FILTERS:
            raise UsageError(f"filter {filter!r} is none of {', '.join(FILTERS)}")
        _check(
            _lib.cgt_plan_create(
                ctypes.byref(self.handle),
                source[1],
                source[0],
                target[1],
                target[0],
                FILTERS.index(filter),
            )
        )

        weakref.finalize(self, _lib.cgt_plan_destroy, self.handle)

    def scratch(self, channels: int) -> F32:
        return np.empty(_lib.cgt_plan_scratch(self.handle, channels), np.float32)


@lru_cache(maxsize=64)
def _plan(source: tuple[int, int], target: tuple[int, int], filter: str) -> _Plan:
    return _Plan(source, target, filter)


def _checked_image(image: U8, name: str) -> U8:
    """The image as a C call needs it: uint8 HWC with packed pixels, rows at any positive stride."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        raise UsageError(f"{name} must be a uint8 array, not {_describe(image)}")
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or 0 in image.shape:
        raise UsageError(f"{name} must have shape (height, width, 1|3|4), not {image.shape}")
    return image


def _check_size(size: tuple[int, int]) -> None:
    if not all(1 <= side <= 32768 for side in size):
        raise UsageError(f"size must have sides of 1 to 32768 pixels, not {size}")


def _strides(array: NDArray[Any]) -> tuple[int, ...]:
    """Bytes from one element to the next. NumPy leaves it open for an axis of one element; here
    that gets the stride of a packed array."""
    strides = list(array.strides)
    step = array.itemsize
    for axis in reversed(range(array.ndim)):
        if array.shape[axis] == 1:
            strides[axis] = step
        step = strides[axis] * array.shape[axis]
    return tuple(strides)


def _packed_rows(image: U8) -> U8:
    row, pixel, channel = _strides(image)
    _, width, channels = image.shape
    if (pixel, channel) == (channels, 1) and row >= width * channels:
        return image
    return np.ascontiguousarray(image)


def _checked_out(out: NDArray[Any], shape: tuple[int, ...], dtype: type, packed: int) -> None:
    """`out` must be writable and exact, its last `packed` axes contiguous."""
    if not isinstance(out, np.ndarray) or out.dtype != dtype or out.shape != shape:
        wanted = f"a {np.dtype(dtype).name} array of shape {shape}"
        raise UsageError(f"out must be {wanted}, not {_describe(out)}")
    strides = _strides(out)
    inner = out.itemsize
    for axis in reversed(range(out.ndim)):
        wrong = strides[axis] != inner if axis >= out.ndim - packed else strides[axis] < inner
        if wrong or not out.flags.writeable:
            raise UsageError("out must be writable and have packed rows in memory order")
        inner = strides[axis] * out.shape[axis]


def _describe(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    return type(value).__name__


def resize(
    image: U8, size: tuple[int, int], filter: Filter = "bilinear", out: U8 | None = None
) -> U8:
    """Resize an image, antialiased when it shrinks.

    image: uint8 HWC, 1, 3 or 4 channels. size: (height, width). out: uint8 HWC to write into.
    Returns `out`, or a new array. Rounded half up; bilinear is within one level of Pillow's
    `Image.resize`, bicubic too where it does not overshoot (Pillow clips between its two passes).
    Raises UsageError on a wrong dtype or shape.
    """
    image = _packed_rows(_checked_image(image, "image"))
    channels = image.shape[2]
    _check_size(size)
    if out is None:
        out = np.empty((*size, channels), np.uint8)
    _checked_out(out, (*size, channels), np.uint8, packed=2)
    plan = _plan(image.shape[:2], (int(size[0]), int(size[1])), filter)
    scratch = plan.scratch(channels)
    _check(
        _lib.cgt_resize_u8(
            plan.handle,
            channels,
            image.ctypes.data,
            _strides(image)[0],
            out.ctypes.data,
            _strides(out)[0],
            scratch.ctypes.data,
        )
    )
    return out


def pack(
    image: U8,
    size: tuple[int, int] | None = None,
    filter: Filter = "bilinear",
    swap_rb: bool = False,
    out: F32 | None = None,
) -> F32:
    """Resize an image and turn it into what a network takes.

    image: uint8 HWC, 1, 3 or 4 channels. size: (height, width), the image's own by default.
    swap_rb: exchange the first and third channel, as BGR input needs. out: float32 CHW in [-1, 1]
    to write into (planes and rows may lie apart, so a slot of a batch or a corner of a padded
    tensor will do). Returns `out`, or a new array. Raises UsageError on a wrong dtype or shape.
    """
    image = _packed_rows(_checked_image(image, "image"))
    height, width, channels = image.shape
    size = size or (height, width)
    _check_size(size)
    if out is None:
        out = np.empty((channels, *size), np.float32)
    _checked_out(out, (channels, *size), np.float32, packed=1)
    plan = _plan((height, width), (int(size[0]), int(size[1])), filter)
    scratch = plan.scratch(channels)
    _check(
        _lib.cgt_pack_f32(
            plan.handle,
            channels,
            swap_rb,
            image.ctypes.data,
            _strides(image)[0],
            out.ctypes.data,
            _strides(out)[1] // 4,
            _strides(out)[0] // 4,
            scratch.ctypes.data,
        )
    )
    return out


def unpack(tensor: F32, swap_rb: bool = False, out: U8 | None = None) -> U8:
    """Turn a network's output into an image.

    tensor: float32 CHW in [-1, 1], 1, 3 or 4 channels; rows and planes may lie apart, so the
    corner of a padded tensor is cropped for free. swap_rb: exchange the first and third channel.
    out: uint8 HWC to write into. Returns `out`, or a new array.
    Values are `(x + 1) * 127.5` rounded half to even and clamped; NaN becomes 0.
    Raises UsageError on a wrong dtype or shape.
    """
    if not isinstance(tensor, np.ndarray) or tensor.dtype != np.float32 or tensor.ndim != 3:
        raise UsageError(f"tensor must be a float32 CHW array, not {_describe(tensor)}")
    channels, height, width = tensor.shape
    plane, row, value = _strides(tensor)
    if value != 4 or row < width * 4 or plane < (height - 1) * row + width * 4:
        tensor = np.ascontiguousarray(tensor)
        plane, row, _ = _strides(tensor)
    if out is None:
        out = np.empty((height, width, channels), np.uint8)
    _checked_out(out, (height, width, channels), np.uint8, packed=2)
    _check(
        _lib.cgt_unpack_f32(
            width,
            height,
            channels,
            swap_rb,
            tensor.ctypes.data,
            row // 4,
            plane // 4,
            out.ctypes.data,
            _strides(out)[0],
        )
    )
    return out


def padded(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """(height, width) rounded up to what the network takes."""
    height, width = (-(-side // multiple) * multiple for side in size)
    return height, width


def pad_reflect(tensor: NDArray[Any], size: tuple[int, int]) -> None:
    """Fill in place what lies right of and below the (height, width) corner of a ...HW tensor,
    by reflection about the last row and column (which are not repeated)."""
    height, width = size
    columns, rows = tensor.shape[-1] - width, tensor.shape[-2] - height
    if columns >= width or rows >= height:
        raise UsageError(f"a picture of {height}x{width} is too small to be padded by reflection")
    if columns:
        tensor[..., :height, width:] = tensor[..., :height, width - 1 - columns : width - 1][
            ..., ::-1
        ]
    if rows:
        tensor[..., height:, :] = tensor[..., height - 1 - rows : height - 1, :][..., ::-1, :]
