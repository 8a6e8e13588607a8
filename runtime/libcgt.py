"""The C library as ctypes sees it: `native/cgt.h` in Python's words, and nothing more."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

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

MAX_SIDE = 32768
TYPES = {np.dtype(np.float32): 0, np.dtype(np.float16): 1}
PIXELS, NV12, I420 = range(3)

_PTR, _STEP, _INT, FLOAT = ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int, ctypes.c_float


class ImageView(ctypes.Structure):
    """cgt_image."""

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


class TensorView(ctypes.Structure):
    """cgt_tensor."""

    _fields_ = (
        ("data", _PTR),
        ("type", _INT),
        ("layout", _INT),
        ("row_stride", _STEP),
        ("plane_stride", _STEP),
    )


class Packing(ctypes.Structure):
    """cgt_packing."""

    _fields_ = (
        ("swap_rb", _INT),
        ("padded_width", _INT),
        ("padded_height", _INT),
        ("scale", FLOAT * 4),
        ("offset", FLOAT * 4),
    )


def _load() -> ctypes.CDLL:
    path = Path(__file__).parent / "native" / "libcgt.so"
    try:
        lib = ctypes.CDLL(str(path))
    except OSError as error:
        raise CgtError(
            f"the C library does not load ({error}); reinstall with `pip install .`"
        ) from None
    lib.cgt_plan_create.argtypes = [ctypes.POINTER(_PTR), *[_INT] * 5, FLOAT * 4]
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


LIB = _load()


def simd_path() -> str:
    """The instruction set in use: "scalar", "avx2", "avx512" or "neon".

    The environment variable CGT_SIMD forces one; all give the same bits.
    Raises UsageError when it names one that this CPU has not.
    """
    name = LIB.cgt_simd()
    if name is None:
        check(-11)
    return str(name.decode())


def check(code: int) -> None:
    """Raises UsageError for what a function of the library returned, unless it is CGT_OK."""
    if code != 0:
        message = LIB.cgt_strerror(code).decode()
        asked = f" (it is {os.environ.get('CGT_SIMD')!r})" if code == -11 else ""
        raise UsageError(message + asked)
