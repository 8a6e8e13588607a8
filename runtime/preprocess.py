"""Pixels to tensors and back, by the C library (`native/cgt.h` is its manual).

One definition for training and serving: shrinking antialiases as Pillow does, values are mapped
linearly between bytes 0..255 and floats -1..1. Calls release the GIL and may come from any thread.

Arrays are used where they lie: rows may be any distance apart, pixels must be packed. What cannot
be used as it is (a mirrored view, every other pixel) is refused, never copied behind your back.
"""

from __future__ import annotations

import ctypes
import math
import operator
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .errors import CgtError, UsageError

# In the order of cgt.h's enums.
Filter = Literal["bilinear", "bicubic", "box", "lanczos", "nearest"]
FILTERS: tuple[Filter, ...] = get_args(Filter)
Layout = Literal["CHW", "HWC"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
Matrix = Literal["bt601", "bt709"]
MATRICES: tuple[Matrix, ...] = get_args(Matrix)

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
F16 = NDArray[np.float16]
Box = tuple[float, float, float, float]

_MAX_SIDE = 32768
_TYPES = {np.dtype(np.float32): 0, np.dtype(np.float16): 1}
_PIXELS, _NV12, _I420 = range(3)

_PTR, _STEP, _INT, _FLOAT = ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int, ctypes.c_float


class _Image(ctypes.Structure):
    _fields_ = (
        ("width", _INT),
        ("height", _INT),
        ("channels", _INT),
        ("format", _INT),
        # cgt.h has arrays of three here; single fields are the same memory and quicker to set.
        ("plane0", _PTR),
        ("plane1", _PTR),
        ("plane2", _PTR),
        ("stride0", _STEP),
        ("stride1", _STEP),
        ("stride2", _STEP),
        ("matrix", _INT),
        ("full_range", _INT),
    )


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", _PTR),
        ("type", _INT),
        ("layout", _INT),
        ("row_stride", _STEP),
        ("plane_stride", _STEP),
    )


class _Packing(ctypes.Structure):
    _fields_ = (
        ("swap_rb", _INT),
        ("padded_width", _INT),
        ("padded_height", _INT),
        ("scale", _FLOAT * 4),
        ("offset", _FLOAT * 4),
    )


def _load() -> ctypes.CDLL:
    path = Path(__file__).parent / "native" / "libcgt.so"
    try:
        lib = ctypes.CDLL(str(path))
    except OSError as error:
        raise CgtError(
            f"the C library does not load ({error}); reinstall with `pip install .`"
        ) from None
    lib.cgt_plan_create.argtypes = [ctypes.POINTER(_PTR), *[_INT] * 5, _FLOAT * 4]
    lib.cgt_plan_destroy.argtypes = [_PTR]
    lib.cgt_plan_destroy.restype = None
    lib.cgt_scratch_size.argtypes = [_PTR, _INT, _INT]
    lib.cgt_scratch_size.restype = ctypes.c_size_t
    lib.cgt_resize.argtypes = [_PTR, _PTR, _PTR, _STEP, _INT, _INT, _PTR]
    lib.cgt_pack.argtypes = [_PTR, _PTR, _PTR, _PTR, _INT, _INT, _PTR]
    lib.cgt_unpack.argtypes = [_PTR, *[_INT] * 5, _PTR, _STEP, _INT, _INT]
    lib.cgt_strerror.argtypes = [_INT]
    lib.cgt_strerror.restype = ctypes.c_char_p
    lib.cgt_simd.restype = ctypes.c_char_p
    return lib


_lib = _load()


def simd_path() -> str:
    """The instruction set in use: "scalar", "avx2", "avx512" or "neon".

    The environment variable CGT_SIMD forces one; all give the same bits.
    Raises UsageError when it names one that this CPU has not.
    """
    name = _lib.cgt_simd()
    if name is None:
        _check(-11)
    return str(name.decode())


def _check(code: int) -> None:
    if code != 0:
        message = _lib.cgt_strerror(code).decode()
        asked = f" (it is {os.environ.get('CGT_SIMD')!r})" if code == -11 else ""
        raise UsageError(message + asked)


# ---- Arguments -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class YUV:
    """A picture as decoders deliver it: full-size luma, chroma halved both ways (rounded up).

    y: uint8 (height, width). NV12: u is uint8 (ceil(height / 2), ceil(width / 2), 2), U and V
    interleaved, and v is None. I420: u and v are uint8 (ceil(height / 2), ceil(width / 2)).
    matrix: "bt601" or "bt709". full_range: luma 0..255, not 16..235.
    `resize` and `pack` take it for an RGB image.
    """

    y: U8
    u: U8
    v: U8 | None = None
    matrix: Matrix = "bt601"
    full_range: bool = False


def _describe(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    return type(value).__name__


def _strides(array: NDArray[Any], name: str, packed: int) -> tuple[int, ...]:
    """Strides in bytes, when nothing overlaps, nothing is mirrored, axes lie in memory order and
    the last `packed` without gaps. The stride of an axis of length 1 says nothing: it is mended."""
    return _mended(array.shape, array.strides, array.itemsize, packed, name)


@lru_cache(maxsize=256)
def _mended(
    shape: tuple[int, ...], strides: tuple[int, ...], item: int, packed: int, name: str
) -> tuple[int, ...]:
    mended = list(strides)
    extent = item
    for axis in reversed(range(len(shape))):
        if shape[axis] == 1:
            mended[axis] = extent
        stride = mended[axis]
        if stride < extent or (axis >= len(shape) - packed and stride > extent):
            what = "negative" if stride < 0 else "overlapping" if stride < extent else "gapped"
            raise UsageError(
                f"{name} has strides {strides} for shape {shape}: axis {axis} is {what}; "
                f"np.ascontiguousarray({name}) is a copy that will do"
            )
        extent += stride * (shape[axis] - 1)
    return tuple(mended)


def _checked_size(size: object, name: str = "size") -> tuple[int, int]:
    try:
        height, width = map(operator.index, size)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise UsageError(f"{name} must be (height, width), not {size!r}") from None
    if not (1 <= height <= _MAX_SIDE and 1 <= width <= _MAX_SIDE):
        raise UsageError(f"{name} must have sides of 1 to {_MAX_SIDE}, not {height}x{width}")
    return height, width


def _checked_plane(plane: object, name: str, shape: tuple[int, ...] | None) -> NDArray[Any]:
    if not isinstance(plane, np.ndarray) or plane.dtype != np.uint8:
        raise UsageError(f"{name} must be a uint8 array, not {_describe(plane)}")
    if shape is not None and plane.shape != shape:
        raise UsageError(f"{name} must have shape {shape}, not {plane.shape}")
    return plane


def _source(image: U8 | YUV) -> tuple[_Image, tuple[U8, ...]]:
    """The picture as C takes it, and the arrays that it points into."""
    if isinstance(image, YUV):
        return _yuv_source(image)
    pixels = _checked_plane(image, "image", None)
    shape = pixels.shape
    if len(shape) != 3 or shape[2] not in (1, 3, 4):
        raise UsageError(f"image must have shape (height, width, 1|3|4), not {shape}")
    height, width, channels = shape
    if not (0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE):
        _checked_size((height, width), "image.shape")
    stride = _strides(pixels, "image", packed=2)[0]
    source = _Image(
        width, height, channels, _PIXELS, _address(pixels), None, None, stride, 0, 0, 0, 0
    )
    return source, (pixels,)


def _yuv_source(image: YUV) -> tuple[_Image, tuple[U8, ...]]:
    luma = _checked_plane(image.y, "image.y", None)
    if luma.ndim != 2:
        raise UsageError(f"image.y must have shape (height, width), not {luma.shape}")
    if image.matrix not in MATRICES:
        raise UsageError(f"image.matrix must be bt601 or bt709, not {image.matrix!r}")
    height, width = luma.shape
    _checked_size((height, width), "image.y.shape")
    half = ((height + 1) // 2, (width + 1) // 2)
    planes: tuple[U8, ...]
    if image.v is None:
        format = _NV12
        planes = (luma, _checked_plane(image.u, "image.u", (*half, 2)))
    else:
        format = _I420
        planes = (
            luma,
            _checked_plane(image.u, "image.u", half),
            _checked_plane(image.v, "image.v", half),
        )
    strides = [
        _strides(plane, name, plane.ndim - 1)[0]
        for plane, name in zip(planes, ("image.y", "image.u", "image.v"), strict=False)
    ]
    addresses = [_address(plane) for plane in planes]
    if image.v is None:
        strides.append(0)
        addresses.append(0)
    matrix = MATRICES.index(image.matrix)
    source = _Image(width, height, 3, format, *addresses, *strides, matrix, image.full_range)
    return source, planes


def _address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


def _checked_out(
    out: NDArray[Any] | None,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    inputs: tuple[NDArray[Any], ...],
) -> NDArray[Any]:
    """A new array when `out` is None; else `out`, exact, writable and apart from the inputs."""
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray) or out.dtype != dtype or out.shape != shape:
        raise UsageError(f"out must be a {dtype.name} array of shape {shape}, not {_describe(out)}")
    if not out.flags.writeable:
        raise UsageError("out is read-only")
    for array in inputs:
        if np.may_share_memory(out, array) and np.shares_memory(out, array):
            raise UsageError("out overlaps the input in memory; give it memory of its own")
    return out


def _checked_count(value: int, name: str) -> int:
    try:
        count = operator.index(value)
    except TypeError:
        raise UsageError(f"{name} must be a whole number, not {value!r}") from None
    if count < 1:
        raise UsageError(f"{name} must be at least 1, not {count}")
    return count


def _checked_filter(filter: Filter) -> Filter:
    if filter not in FILTERS:
        raise UsageError(f"filter {filter!r} is none of {', '.join(FILTERS)}")
    return filter


def _checked_box(box: object) -> Box | None:
    if box is None:
        return None
    try:
        left, upper, right, lower = map(float, box)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise UsageError(f"box must be (left, upper, right, lower), not {box!r}") from None
    return left, upper, right, lower


# ---- Plans and scratch ---------------------------------------------------------------------------


class _Plan:
    """Filter tables of one (input size, output size, filter, box). Read-only, any thread's."""

    def __init__(
        self, source: tuple[int, int], target: tuple[int, int], filter: Filter, box: Box | None
    ) -> None:
        self.handle = ctypes.c_void_p()
        left, upper, right, lower = box = box or (0, 0, source[1], source[0])
        if not (0 <= left < right <= source[1] and 0 <= upper < lower <= source[0]):
            raise UsageError(
                f"box {box} is not (left, upper, right, lower) within {source[0]}x{source[1]}"
            )
        _check(
            _lib.cgt_plan_create(
                ctypes.byref(self.handle),
                source[1],
                source[0],
                target[1],
                target[0],
                FILTERS.index(filter),
                (_FLOAT * 4)(*box),
            )
        )
        weakref.finalize(self, _lib.cgt_plan_destroy, self.handle)

    def scratch(self, channels: int, format: int) -> int:
        """Bytes that a call needs."""
        return int(_lib.cgt_scratch_size(self.handle, channels, format))


@lru_cache(maxsize=64)
def _plan(
    source: tuple[int, int], target: tuple[int, int], filter: Filter, box: Box | None
) -> _Plan:
    return _Plan(source, target, filter, box)


_local = threading.local()


def _scratch(size: int) -> int:
    """The address of this thread's scratch memory, which only grows."""
    if getattr(_local, "size", -1) < size:
        _local.room = np.empty(size, np.uint8)
        _local.size, _local.address = size, _address(_local.room)
    return int(_local.address)


@lru_cache(maxsize=8)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads do not survive a fork, hence `process`."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"cgt-pixels-{process}")


def _in_bands(rows: int, threads: int, work: Callable[[int, int], int]) -> None:
    """work(first_row, last_row) over all rows, in as many bands as threads."""
    if threads == 1 or rows < threads:
        _check(work(0, rows))
        return
    edges = [rows * i // threads for i in range(threads + 1)]
    for code in _pool(os.getpid(), threads).map(work, edges[:-1], edges[1:]):
        _check(code)


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
    """Resize an image as Pillow does, antialiased when it shrinks; every pixel is within one level.

    image: uint8 HWC, 1, 3 or 4 channels, or YUV. size: (height, width). out: uint8 HWC to write
    into. filter: one of FILTERS. box: (left, upper, right, lower) in pixels, fractions allowed, of
    what shall fill the output; as in Pillow's `resize`, pixels around it count where the filter
    reaches them. threads: bands of rows made at once, for large images; the result is the same.
    Returns `out`, or a new array; RGB for YUV. Raises UsageError naming the argument that is wrong.
    """
    source, planes = _source(image)
    size = _checked_size(size)
    out = _checked_out(out, (*size, source.channels), np.dtype(np.uint8), planes)
    plan = _plan((source.height, source.width), size, _checked_filter(filter), _checked_box(box))
    stride, address = _strides(out, "out", packed=2)[0], _address(out)
    scratch = plan.scratch(source.channels, source.format)

    def work(first_row: int, last_row: int) -> int:
        return int(
            _lib.cgt_resize(
                plan.handle,
                ctypes.byref(source),
                address,
                stride,
                first_row,
                last_row,
                _scratch(scratch),
            )
        )

    _in_bands(size[0], _checked_count(threads, "threads"), work)
    return out


class Packer:
    """Images of one kind to tensors. All is settled here once: a call allocates no memory.

    source: (height, width) of the images. size: (height, width) to resize to, the images' own by
    default. channels: 1, 3 or 4 (3 for YUV). swap_rb: exchange the first and third channel, as BGR
    input needs. dtype: float32 or float16. layout: "CHW" or "HWC". scale, offset: numbers, or one
    for each channel of the tensor; a byte b becomes b * scale + offset, and lies in [-1, 1] by
    default. multiple: pad right and below by reflection (the last row and column are not repeated)
    until both sides are multiples of it. filter, box, threads: as in `resize`.
    May be called from any thread. Raises UsageError naming the argument that is wrong.
    """

    def __init__(
        self,
        source: tuple[int, int],
        size: tuple[int, int] | None = None,
        filter: Filter = "bilinear",
        swap_rb: bool = False,
        *,
        channels: int = 3,
        dtype: DTypeLike = np.float32,
        layout: Layout = "CHW",
        scale: float | Sequence[float] = 1 / 127.5,
        offset: float | Sequence[float] = -1.0,
        multiple: int = 1,
        box: Box | None = None,
        threads: int = 1,
    ) -> None:
        self.source = _checked_size(source, "source")
        if size is None and box is not None:
            raise UsageError("size must be given with a box")
        self.size = self.source if size is None else _checked_size(size)
        if channels not in (1, 3, 4) or (swap_rb and channels == 1):
            raise UsageError("channels must be 1, 3 or 4; and 3 or 4 for swap_rb")
        self.dtype = np.dtype(dtype)
        if self.dtype not in _TYPES:
            raise UsageError(f"dtype must be float32 or float16, not {self.dtype}")
        if layout not in LAYOUTS:
            raise UsageError(f"layout must be CHW or HWC, not {layout!r}")
        self.channels = channels
        self._layout = LAYOUTS.index(layout)
        self.threads = _checked_count(threads, "threads")
        height, width = _checked_size(
            padded(self.size, _checked_count(multiple, "multiple")), "size, padded,"
        )
        if height >= 2 * self.size[0] or width >= 2 * self.size[1]:
            raise UsageError(
                f"multiple {multiple} is too large: {self.size[0]}x{self.size[1]} cannot be padded "
                "by reflection to it"
            )
        self.shape = (channels, height, width) if layout == "CHW" else (height, width, channels)
        """Of the tensor."""
        self._plan = _plan(self.source, self.size, _checked_filter(filter), _checked_box(box))
        formats = (_PIXELS, _NV12, _I420) if channels == 3 else (_PIXELS,)
        self._room = [self._plan.scratch(channels, format) for format in formats]
        self._packing = _Packing(
            bool(swap_rb),
            width,
            height,
            (_FLOAT * 4)(*_per_channel(scale, channels, "scale")),
            (_FLOAT * 4)(*_per_channel(offset, channels, "offset")),
        )

    def __call__(self, image: U8 | YUV, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """The tensor of an image.

        image: uint8 HWC, or YUV. out: an array of this packer's `shape` and `dtype` to write into;
        planes and rows may lie apart, so a slot of a batch or a corner of a larger tensor will do.
        Returns `out`, or a new array. Values in between are not rounded to bytes; what overshoots
        0..255 is clamped before it is scaled. Raises UsageError naming the argument that is wrong.
        """
        source, planes = _source(image)
        if (source.height, source.width, source.channels) != (*self.source, self.channels):
            raise UsageError(
                f"image must be {self.source[0]}x{self.source[1]} with {self.channels} channels, "
                f"not {source.height}x{source.width} with {source.channels}"
            )
        out = _checked_out(out, self.shape, self.dtype, planes)
        item = self.dtype.itemsize
        if self._layout == 0:  # CHW
            plane_stride, row_stride, _ = _strides(out, "out", packed=1)
        else:
            plane_stride, row_stride = 0, _strides(out, "out", packed=2)[0]
        tensor = _Tensor(
            _address(out),
            _TYPES[self.dtype],
            self._layout,
            row_stride // item,
            plane_stride // item,
        )

        def work(first_row: int, last_row: int) -> int:
            return int(
                _lib.cgt_pack(
                    self._plan.handle,
                    ctypes.byref(source),
                    ctypes.byref(tensor),
                    ctypes.byref(self._packing),
                    first_row,
                    last_row,
                    _scratch(self._room[source.format]),
                )
            )

        _in_bands(self.size[0], self.threads, work)
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
def _packer(*args: Any, **kwargs: Any) -> Packer:
    return Packer(*args, **kwargs)


def pack(
    image: U8 | YUV,
    size: tuple[int, int] | None = None,
    filter: Filter = "bilinear",
    swap_rb: bool = False,
    out: F32 | None = None,
) -> F32:
    """Resize an image and turn it into what a network takes.

    image: uint8 HWC, 1, 3 or 4 channels, or YUV. size: (height, width), the image's own by default.
    filter: as in `resize`. swap_rb: exchange the first and third channel, as BGR input needs.
    out: float32 CHW in [-1, 1] to write into; see `Packer`, which has more to choose from.
    Returns `out`, or a new array. Raises UsageError naming the argument that is wrong.
    """
    shape = (*image.y.shape, 3) if isinstance(image, YUV) else np.shape(image)
    if len(shape) != 3 or shape[2] not in (1, 3, 4) or 0 in shape:
        _source(image)  # which says what is wrong
    size = None if size is None else _checked_size(size)
    _checked_filter(filter)
    return _packer(shape[:2], size, filter, bool(swap_rb), channels=shape[2])(image, out)


def unpack(
    tensor: F32 | F16,
    swap_rb: bool = False,
    out: U8 | None = None,
    *,
    truncate: bool = False,
    threads: int = 1,
) -> U8:
    """Turn a network's output into an image.

    tensor: float32 or float16 CHW in [-1, 1], 1, 3 or 4 channels; rows and planes may lie apart, so
    the corner of a padded tensor is cropped for free. swap_rb: exchange the first and third
    channel. out: uint8 HWC to write into. truncate: round towards zero, as
    pytorch-CycleGAN-and-pix2pix does, and not to nearest, half to even. threads: as in `resize`.
    Values are `(x + 1) * 127.5`, clamped; NaN becomes 0. Returns `out`, or a new array.
    Raises UsageError naming the argument that is wrong.
    """
    if not isinstance(tensor, np.ndarray) or tensor.dtype not in _TYPES or tensor.ndim != 3:
        raise UsageError(f"tensor must be a float32|16 CHW array, not {_describe(tensor)}")
    channels, height, width = tensor.shape
    if channels not in (1, 3, 4) or (swap_rb and channels == 1):
        raise UsageError(f"tensor must have 1, 3 or 4 channels, 3 or 4 for swap_rb, not {channels}")
    _checked_size((height, width), "tensor.shape")
    plane_stride, row_stride, item = _strides(tensor, "tensor", packed=1)
    out = _checked_out(out, (height, width, channels), np.dtype(np.uint8), (tensor,))
    stride, address = _strides(out, "out", packed=2)[0], _address(out)
    source = _Tensor(
        _address(tensor), _TYPES[tensor.dtype], 0, row_stride // item, plane_stride // item
    )

    def work(first_row: int, last_row: int) -> int:
        return int(
            _lib.cgt_unpack(
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

    _in_bands(height, _checked_count(threads, "threads"), work)
    return out


def padded(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """(height, width) rounded up to what the network takes."""
    height, width = (-(-side // multiple) * multiple for side in size)
    return height, width
