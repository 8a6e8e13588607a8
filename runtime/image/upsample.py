"""Guided upsampling: the output of a network at the size of its source image.

A network runs at its own, small size. Around each pixel its output is fitted as a linear function
of its input: out = A * in + b, with a 3x3 matrix A. The coefficients change slowly over the image,
so they are interpolated to the full size and applied to the full-size source image. Edges, text and
texture of the source thus survive at full sharpness.

The fit is the guided filter with a color guide (He, Sun and Tang, "Guided Image Filtering", PAMI
2013, equations 14 to 20) in its fast form (He and Sun, "Fast Guided Filter", 2015).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .opencv import cv2
from .preprocess import F32, U8, resize, unpack
from .validation import YUV, check_output_array, check_size, pack_pixels

FitMethod = Literal["guided", "detail"]
FIT_METHODS: tuple[FitMethod, ...] = get_args(FitMethod)

_BAND_PIXELS = 2**20  # rows are upsampled in bands, so that a large photo needs little memory


class Upsampler:
    """Guided upsampling for images of one size; any thread may call it.

    Args:
        source_size: (height, width) of the images and of the results.
        low_size: (height, width) of the input and output of the network.
        method: "guided" fits local linear coefficients. "detail" adds the high frequencies of the
            image to the enlarged output.
        radius: radius of the window of the fit, in pixels of the network.
        eps: regularization of the fit, for values in [0, 1]: differences in a window well below its
            square root count as noise.
        detail: strength, 0 to 1. 0 is bilinear interpolation of the output of the network.
        threads: number of threads; the result does not depend on it.

    Raises:
        UsageError: an argument is invalid; the message names it.
    """

    def __init__(
        self,
        source_size: tuple[int, int],
        low_size: tuple[int, int],
        *,
        method: FitMethod = "guided",
        radius: int = 4,
        eps: float = 1e-4,
        detail: float = 1.0,
        threads: int = 1,
    ) -> None:
        self.source_size = check_size(source_size, "source_size")
        self.low_size = check_size(low_size, "low_size")
        if method not in FIT_METHODS:
            raise UsageError(f"method must be one of {', '.join(FIT_METHODS)}, not {method!r}")
        if not 1 <= radius <= 64:
            raise UsageError(f"radius must be from 1 to 64 pixels, not {radius}")
        if not 0 < eps <= 1:
            raise UsageError(f"eps must be above 0, up to 1, not {eps}")
        if not 0 <= detail <= 1:
            raise UsageError(f"detail must be from 0 to 1, not {detail}")
        self._method, self._radius, self._eps, self._detail = method, radius, eps, detail

    def __call__(
        self,
        image: U8 | YUV,
        guide: NDArray[Any],
        translated: NDArray[Any],
        out: U8 | YUV | None = None,
    ) -> U8:
        """Return the output of a network at the size of the source image.

        Args:
            image: the source image, uint8 HWC RGB.
            guide: the input of the network: float32 or float16 CHW in [-1, 1], or uint8 HWC.
            translated: its output; the same type and size.
            out: uint8 HWC array to write into.

        Returns:
            `out`, or a new array.

        Raises:
            UsageError: an argument is invalid; the message names it.
        """
        if isinstance(image, YUV):
            image = resize(image, self.source_size)
        low = [_as_floats(array, self.low_size) for array in (guide, translated)]
        if image.shape != (*self.source_size, 3):
            raise UsageError(f"image must have shape {(*self.source_size, 3)}, not {image.shape}")
        result: U8 = check_output_array(out, image.shape, np.dtype(np.uint8), (image,))  # type: ignore[arg-type]
        if self._method == "guided":
            slope, offset = fit_linear(*low, self._radius, self._eps)
        else:
            slope = np.broadcast_to(np.eye(3, dtype=np.float32).ravel(), (*self.low_size, 9))
            offset = low[1] - low[0]
        slope, offset = self._detail * slope, self._detail * offset + (1 - self._detail) * low[1]
        _apply(image, np.concatenate([slope, offset], -1), result)
        return result


def _as_floats(array: NDArray[Any], size: tuple[int, int]) -> F32:
    """Return an image or a tensor as float32 HWC in [0, 1], in steps of 1/255."""
    pixels = array if array.dtype == np.uint8 else unpack(array)
    if pixels.shape != (*size, 3):
        raise UsageError(f"guide and translated must be {size[1]}x{size[0]} RGB, not {array.shape}")
    return pixels.astype(np.float32) / 255


def _box_mean(planes: F32, radius: int, area: F32) -> F32:
    """Return the mean over a square window, clipped to the image, for each pixel of HWC planes."""
    side = 2 * radius + 1
    sums = [
        cv2.boxFilter(
            np.ascontiguousarray(planes[..., i]),
            cv2.CV_32F,
            (side, side),
            normalize=False,
            borderType=cv2.BORDER_CONSTANT,
        )
        for i in range(planes.shape[-1])
    ]
    return (np.stack(sums, -1) / area[..., None]).astype(np.float32)


@lru_cache(maxsize=8)
def _window_area(size: tuple[int, int], radius: int) -> F32:
    counts = []
    for length in size:
        at = np.arange(length)
        counts.append(np.minimum(at + radius, length - 1) - np.maximum(at - radius, 0) + 1)
    return np.multiply.outer(counts[0], counts[1]).astype(np.float32)


def fit_linear(guide: F32, target: F32, radius: int, eps: float) -> tuple[F32, F32]:
    """Fit target = guide * A + b in a window around each pixel.

    Args:
        guide: float32 (height, width, 3) in [0, 1].
        target: the same shape.
        radius: radius of the windows in pixels; they are clipped to the image.
        eps: regularization.

    Returns:
        A as float32 (height, width, 9): for each channel of the target the slopes of the three
        channels of the guide; and b as float32 (height, width, 3).
    """
    height, width = guide.shape[:2]
    area = _window_area((height, width), radius)
    products = (guide[..., :, None] * guide[..., None, :]).reshape(height, width, 9)
    cross = (target[..., :, None] * guide[..., None, :]).reshape(height, width, 9)
    mean_guide, mean_target = _box_mean(guide, radius, area), _box_mean(target, radius, area)
    covariance = _box_mean(products, radius, area).reshape(height, width, 3, 3)
    covariance -= mean_guide[..., :, None] * mean_guide[..., None, :]
    cross_covariance = _box_mean(cross, radius, area).reshape(height, width, 3, 3)
    cross_covariance -= mean_target[..., :, None] * mean_guide[..., None, :]
    inverse = np.linalg.inv(covariance + eps * np.eye(3, dtype=np.float32))
    slope = np.clip(cross_covariance @ inverse, -8, 8)
    offset = mean_target - (slope @ mean_guide[..., None])[..., 0]
    both = np.concatenate([slope.reshape(height, width, 9), offset], -1)
    smooth = _box_mean(both.astype(np.float32), radius, area)
    return smooth[..., :9], smooth[..., 9:]


def _apply(image: U8, coefficients: F32, out: U8) -> None:
    """Interpolate the coefficients bilinearly and apply them, in bands of rows."""
    height, width = image.shape[:2]
    low_height, low_width = coefficients.shape[:2]
    columns = _resize_axis(coefficients, width, 1)
    band = max(1, _BAND_PIXELS // width)
    for top in range(0, height, band):
        bottom = min(height, top + band)
        at = (np.arange(top, bottom, dtype=np.float32) + 0.5) * low_height / height - 0.5
        at = np.clip(at, 0, low_height - 1)
        first = np.minimum(at.astype(np.int64), max(0, low_height - 2))
        weight = (at - first)[:, None, None].astype(np.float32)
        after = np.minimum(first + 1, low_height - 1)
        values = columns[first] * (1 - weight) + columns[after] * weight
        pixels = image[top:bottom].astype(np.float32)
        for channel in range(3):
            total = values[..., 9 + channel] * 255
            for source in range(3):
                total += values[..., 3 * channel + source] * pixels[..., source]
            out[top:bottom, :, channel] = np.clip(np.rint(total), 0, 255)


def _resize_axis(planes: F32, length: int, axis: int) -> F32:
    low = planes.shape[axis]
    at = np.clip((np.arange(length, dtype=np.float32) + 0.5) * low / length - 0.5, 0, low - 1)
    first = np.minimum(at.astype(np.int64), max(0, low - 2))
    weight = (at - first).astype(np.float32).reshape(-1, 1)
    after = np.minimum(first + 1, low - 1)
    resized: F32 = planes[:, first] * (1 - weight) + planes[:, after] * weight
    return resized


@lru_cache(maxsize=16)
def _cached_upsampler(*args: Any, **kwargs: Any) -> Upsampler:
    return Upsampler(*args, **kwargs)


def upsample_guided(
    image: U8 | YUV,
    guide: NDArray[Any],
    translated: NDArray[Any],
    *,
    method: FitMethod = "guided",
    radius: int = 4,
    eps: float = 1e-4,
    detail: float = 1.0,
    out: U8 | YUV | None = None,
    threads: int = 1,
) -> U8:
    """Return the output of a network at the size of its source image; see `Upsampler`.

    Args:
        image: the source image at full size, uint8 HWC RGB.
        guide: the input of the network: float32 or float16 CHW in [-1, 1], or uint8 HWC.
        translated: its output; the same type and size.
        method: see `Upsampler`, as for the rest.
        radius: in pixels of the network.
        eps: regularization.
        detail: strength, 0 to 1.
        out: uint8 HWC array to write into.
        threads: number of threads.

    Raises:
        UsageError: an argument is invalid; the message names it.
    """
    if not isinstance(image, YUV):
        image = pack_pixels(image)
    source_size = image.y.shape if isinstance(image, YUV) else image.shape[:2]
    low_size = translated.shape[:2] if translated.dtype == np.uint8 else translated.shape[1:]
    upsampler = _cached_upsampler(
        tuple(source_size),
        tuple(low_size),
        method=method,
        radius=radius,
        eps=eps,
        detail=detail,
        threads=threads,
    )
    return upsampler(image, guide, translated, out)
