"""ctypes declarations of the C library, as in `native/cgt.h`."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import CgtError, UsageError

# In the order of cgt.h's enums.
Filter = Literal["bilinear", "bicubic", "box", "lanczos", "nearest"]
FILTERS: tuple[Filter, ...] = get_args(Filter)
Layout = Literal["CHW", "HWC"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
ColorMatrix = Literal["bt601", "bt709"]
COLOR_MATRICES: tuple[ColorMatrix, ...] = get_args(ColorMatrix)

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
F16 = NDArray[np.float16]
Box = tuple[float, float, float, float]

MAX_SIDE = 32768
DTYPE_CODES = {np.dtype(np.float32): 0, np.dtype(np.float16): 1}
PACKED_DTYPE_CODES = {**DTYPE_CODES, np.dtype(np.uint8): 2}
PIXELS, NV12, I420 = range(3)
_CGT_E_SIMD = -11

_C_POINTER, _C_SSIZE, _C_INT, C_FLOAT = (
    ctypes.c_void_p,
    ctypes.c_ssize_t,
    ctypes.c_int,
    ctypes.c_float,
)


class ImageView(ctypes.Structure):
    """The struct cgt_image."""

    _fields_ = (
        ("width", _C_INT),
        ("height", _C_INT),
        ("channels", _C_INT),
        ("format", _C_INT),
        # cgt.h has arrays of three here; single fields have the same layout and are faster to set.
        ("plane0", _C_POINTER),
        ("plane1", _C_POINTER),
        ("plane2", _C_POINTER),
        ("stride0", _C_SSIZE),
        ("stride1", _C_SSIZE),
        ("stride2", _C_SSIZE),
        ("matrix", _C_INT),
        ("full_range", _C_INT),
    )


class TensorView(ctypes.Structure):
    """The struct cgt_tensor."""

    _fields_ = (
        ("data", _C_POINTER),
        ("type", _C_INT),
        ("layout", _C_INT),
        ("row_stride", _C_SSIZE),
        ("plane_stride", _C_SSIZE),
    )


class Packing(ctypes.Structure):
    """The struct cgt_packing."""

    _fields_ = (
        ("swap_rb", _C_INT),
        ("padded_width", _C_INT),
        ("padded_height", _C_INT),
        ("scale", C_FLOAT * 4),
        ("offset", C_FLOAT * 4),
    )


class GuideView(ctypes.Structure):
    """The struct cgt_guide."""

    _fields_ = (
        ("width", _C_INT),
        ("height", _C_INT),
        ("method", _C_INT),
        ("radius", _C_INT),
        ("eps", C_FLOAT),
        ("detail", C_FLOAT),
        ("format", _C_INT),
        ("matrix", _C_INT),
        ("full_range", _C_INT),
        ("coefficients", _C_POINTER),
    )


def _load_library() -> ctypes.CDLL:
    path = Path(__file__).parents[1] / "native" / "libcgt.so"
    try:
        lib = ctypes.CDLL(str(path))
    except OSError as error:
        raise CgtError(
            f"the C library does not load ({error}); reinstall with `pip install .`"
        ) from None
    lib.cgt_plan_create.argtypes = [ctypes.POINTER(_C_POINTER), *[_C_INT] * 5, C_FLOAT * 4]
    lib.cgt_plan_destroy.argtypes = [_C_POINTER]
    lib.cgt_plan_destroy.restype = None
    lib.cgt_scratch_size.argtypes = [_C_POINTER, _C_INT, _C_INT]
    lib.cgt_scratch_size.restype = ctypes.c_size_t
    lib.cgt_resize.argtypes = [
        _C_POINTER,
        _C_POINTER,
        _C_POINTER,
        _C_SSIZE,
        _C_INT,
        _C_INT,
        _C_POINTER,
    ]
    lib.cgt_pack.argtypes = [
        _C_POINTER,
        _C_POINTER,
        _C_POINTER,
        _C_POINTER,
        _C_INT,
        _C_INT,
        _C_POINTER,
    ]
    lib.cgt_unpack.argtypes = [_C_POINTER, *[_C_INT] * 5, _C_POINTER, _C_SSIZE, _C_INT, _C_INT]
    lib.cgt_unpack_yuv.argtypes = [_C_POINTER, _C_INT, _C_INT, _C_POINTER, _C_INT, _C_INT]
    lib.cgt_rgb_to_yuv.argtypes = [_C_POINTER, _C_POINTER, _C_INT, _C_INT]
    lib.cgt_guide_size.argtypes = [_C_INT, _C_INT]
    lib.cgt_guide_size.restype = ctypes.c_size_t
    lib.cgt_guide_scratch_size.argtypes = [_C_POINTER]
    lib.cgt_guide_scratch_size.restype = ctypes.c_size_t
    lib.cgt_guide_fit.argtypes = [*[_C_POINTER] * 3, _C_INT, _C_INT, _C_POINTER]
    lib.cgt_guide_apply.argtypes = [*[_C_POINTER] * 3, _C_INT, _C_INT]
    lib.cgt_strerror.argtypes = [_C_INT]
    lib.cgt_strerror.restype = ctypes.c_char_p
    lib.cgt_simd.restype = ctypes.c_char_p
    return lib


LIB = _load_library()


def simd_instruction_set() -> str:
    """Return the instruction set in use: "scalar", "avx2", "avx512" or "neon".

    The environment variable CGT_SIMD selects one; all give the same bits.

    Raises:
        UsageError: CGT_SIMD names an instruction set that this CPU lacks.
    """
    name = LIB.cgt_simd()
    if name is None:
        check_status(_CGT_E_SIMD)
    return str(name.decode())


def check_status(code: int) -> None:
    """Raise UsageError for a status code of the library other than CGT_OK."""
    if code != 0:
        message = LIB.cgt_strerror(code).decode()
        value = f" (it is {os.environ.get('CGT_SIMD')!r})" if code == _CGT_E_SIMD else ""
        raise UsageError(message + value)
