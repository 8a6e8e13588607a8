"""Guided upsampling of a network's output to the size of its source (manual: `native/cgt.h`).

A network sees a small copy of the source. Local linear coefficients describe what it does to that
copy. They are interpolated and applied to the source itself, so edges, text and fine structures
keep their resolution. No image of floats and no intermediate image exists at full size.
"""

from __future__ import annotations

import ctypes
from typing import Any, Literal, get_args, overload

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .libcgt import (
    DTYPE_CODES,
    F16,
    F32,
    LIB,
    PACKED_DTYPE_CODES,
    PIXELS,
    U8,
    GuideView,
    ImageView,
    TensorView,
)
from .preprocess import run_in_bands, scratch_address
from .validation import (
    YUV,
    check_count,
    check_output_array,
    check_output_yuv,
    check_size,
    check_strides,
    data_address,
    describe_value,
    make_image_view,
)

__all__ = ["GUIDANCE_METHODS", "GuidanceMethod", "Upsampler", "upsample_guided"]

GuidanceMethod = Literal["guided", "detail"]
GUIDANCE_METHODS: tuple[GuidanceMethod, ...] = get_args(GuidanceMethod)
MAX_RADIUS = 64


class Upsampler:
    """Upsamples a network's outputs, guided by sources of one size; a call allocates no memory.

    Methods:

    - "guided": the guided filter with a color guide (He, Sun & Tang, "Guided Image Filtering",
      PAMI 2013, equations 14 to 20), whose coefficients are upsampled (He & Sun, "Fast Guided
      Filter", 2015).
    - "detail": the interpolated output, plus what the source has and the interpolated input lacks.

    An instance holds the coefficients of one image, so each thread needs its own.

    Args:
        source_size: (height, width) of the sources.
        size: (height, width) of the network's input and output.
        method: "guided" or "detail".
        radius: of the windows in pixels of the network, 1 to 64; for "guided".
        eps: added to the variances of colors in [0, 1], 1e-6 to 1; for "guided". Structures of
            less contrast than its square root are smoothed.
        detail: 0..1; 0 is bilinear upsampling, 1 takes all detail from the source.
        threads: number of threads, each for a band of rows; the result does not depend on it.

    Raises:
        UsageError: an argument is invalid; the message names it.
    """

    def __init__(
        self,
        source_size: tuple[int, int],
        size: tuple[int, int],
        *,
        method: GuidanceMethod = "guided",
        radius: int = 4,
        eps: float = 1e-4,
        detail: float = 1.0,
        threads: int = 1,
    ) -> None:
        self.source_size = check_size(source_size, "source_size")
        self.size = check_size(size)
        if method not in GUIDANCE_METHODS:
            raise UsageError(f"method must be guided or detail, not {method!r}")
        radius = check_count(radius, "radius")
        if radius > MAX_RADIUS:
            raise UsageError(f"radius must be at most {MAX_RADIUS}, not {radius}")
        self.threads = check_count(threads, "threads")
        height, width = self.size
        self._coefficients = np.empty(LIB.cgt_guide_size(width, height), np.uint8)
        self._guide = GuideView(
            width,
            height,
            GUIDANCE_METHODS.index(method),
            radius,
            _number(eps, "eps", 1e-6, 1.0),
            _number(detail, "detail", 0.0, 1.0),
            PIXELS,
            0,
            0,
            data_address(self._coefficients),
        )
        self._scratch_size = int(LIB.cgt_guide_scratch_size(ctypes.byref(self._guide)))

    @overload
    def __call__(
        self, image: U8, guide: F32 | F16 | U8, translated: F32 | F16 | U8, out: U8 | None = None
    ) -> U8: ...

    @overload
    def __call__(
        self, image: YUV, guide: F32 | F16 | U8, translated: F32 | F16 | U8, out: YUV | None = None
    ) -> YUV: ...

    @overload
    def __call__(
        self,
        image: U8 | YUV,
        guide: F32 | F16 | U8,
        translated: F32 | F16 | U8,
        out: U8 | YUV | None = None,
    ) -> U8 | YUV: ...

    def __call__(
        self,
        image: U8 | YUV,
        guide: F32 | F16 | U8,
        translated: F32 | F16 | U8,
        out: U8 | YUV | None = None,
    ) -> U8 | YUV:
        """Upsample one output.

        Args:
            image: the source, uint8 HWC with 3 channels, or YUV.
            guide: the network's input: float32 or float16 CHW in [-1, 1], or uint8 HWC.
            translated: the network's output, likewise.
            out: uint8 HWC or YUV of the source's size to write into. YUV to YUV of the same
                matrix and range is fastest, because nothing is converted to RGB.

        Returns:
            `out`, or a new image of the kind of `image`.

        Raises:
            UsageError: an argument is invalid; the message names it.
        """
        source, planes = make_image_view(image)
        if (source.height, source.width, source.channels) != (*self.source_size, 3):
            raise UsageError(
                f"image must be {self.source_size[1]}x{self.source_size[0]} with 3 channels, not "
                f"{source.width}x{source.height} with {source.channels}"
            )
        inputs = (*planes, guide, translated)
        small = [
            view_small_image(array, name, self.size)
            for array, name in ((guide, "guide"), (translated, "translated"))
        ]
        if out is None:
            out = _new_image_like(image, self.source_size)
        if isinstance(out, YUV):
            target = check_output_yuv(out, self.source_size, inputs)
        else:
            check_output_array(out, (*self.source_size, 3), np.dtype(np.uint8), inputs)
            target = make_image_view(out)[0]
        self._set_color_space(source, target)
        self.fit(*small)
        self.apply(source, target)
        return out

    def _set_color_space(self, source: ImageView, target: ImageView) -> None:
        same_yuv = PIXELS not in (source.format, target.format) and (
            (source.matrix, bool(source.full_range)) == (target.matrix, bool(target.full_range))
        )
        self._guide.format = source.format if same_yuv else PIXELS
        self._guide.matrix, self._guide.full_range = source.matrix, source.full_range

    def fit(self, guide: TensorView, translated: TensorView) -> None:
        """Compute the coefficients, the first half of a call."""

        def work(first_row: int, last_row: int) -> int:
            return int(
                LIB.cgt_guide_fit(
                    ctypes.byref(self._guide),
                    ctypes.byref(guide),
                    ctypes.byref(translated),
                    first_row,
                    last_row,
                    scratch_address(self._scratch_size),
                )
            )

        run_in_bands(self.size[0], self.threads, work)

    def apply(self, source: ImageView, target: ImageView) -> None:
        """Apply the coefficients, the second half of a call."""

        def work(first_row: int, last_row: int) -> int:
            return int(
                LIB.cgt_guide_apply(
                    ctypes.byref(self._guide),
                    ctypes.byref(source),
                    ctypes.byref(target),
                    first_row,
                    last_row,
                )
            )

        run_in_bands(self.source_size[0], self.threads, work, multiple=2)


def _number(value: float, name: str, low: float, high: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not low <= number <= high:
        raise UsageError(f"{name} must be a number from {low:g} to {high:g}, not {value!r}")
    return number


def view_small_image(array: NDArray[Any], name: str, size: tuple[int, int]) -> TensorView:
    """Return the C description of a network's input or output."""
    if not isinstance(array, np.ndarray) or array.ndim != 3:
        raise UsageError(f"{name} must be float32|16 CHW or uint8 HWC, not {describe_value(array)}")
    if array.dtype == np.uint8:
        expected: tuple[int, ...] = (*size, 3)
        row_stride, plane_stride = check_strides(array, name, packed=2)[0], 0
        code, layout, item = PACKED_DTYPE_CODES[array.dtype], 1, 1
    elif array.dtype in DTYPE_CODES:
        expected = (3, *size)
        plane_stride, row_stride, item = check_strides(array, name, packed=1)
        code, layout = DTYPE_CODES[array.dtype], 0
    else:
        raise UsageError(f"{name} must be float32, float16 or uint8, not {array.dtype}")
    if array.shape != expected:
        raise UsageError(f"{name} must have shape {expected}, not {array.shape}")
    return TensorView(data_address(array), code, layout, row_stride // item, plane_stride // item)


def _new_image_like(image: U8 | YUV, size: tuple[int, int]) -> U8 | YUV:
    if isinstance(image, YUV):
        return YUV.empty(size, image.matrix, image.full_range)
    return np.empty((*size, 3), np.uint8)


def upsample_guided(
    image: U8 | YUV,
    guide: F32 | F16 | U8,
    translated: F32 | F16 | U8,
    *,
    method: GuidanceMethod = "guided",
    radius: int = 4,
    eps: float = 1e-4,
    detail: float = 1.0,
    out: U8 | YUV | None = None,
    threads: int = 1,
) -> U8 | YUV:
    """Upsample a network's output to the size of its source, guided by the source.

    `Upsampler` keeps its memory, for the frames of a stream.

    Args:
        image: the source, uint8 HWC with 3 channels, or YUV.
        guide: the network's input: float32 or float16 CHW in [-1, 1], or uint8 HWC.
        translated: the network's output, of the size of `guide`.
        method: as in `Upsampler`.
        radius: as in `Upsampler`.
        eps: as in `Upsampler`.
        detail: as in `Upsampler`.
        out: uint8 HWC or YUV of the source's size to write into.
        threads: as in `Upsampler`.

    Returns:
        `out`, or a new image of the kind of `image`.

    Raises:
        UsageError: an argument is invalid; the message names it.
    """
    source, _ = make_image_view(image)
    shape = np.shape(guide)
    if len(shape) != 3:
        raise UsageError(f"guide must be float32|16 CHW or uint8 HWC, not {describe_value(guide)}")
    size = shape[:2] if np.asarray(guide).dtype == np.uint8 else shape[1:]
    upsampler = Upsampler(
        (source.height, source.width),
        check_size(size, "guide.shape"),
        method=method,
        radius=radius,
        eps=eps,
        detail=detail,
        threads=threads,
    )
    return upsampler(image, guide, translated, out)
