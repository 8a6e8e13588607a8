"""Image similarity metrics for NumPy arrays: MSE, L1, PSNR and SSIM.

All metrics compute in float64. `data_range` is the distance between the smallest and the largest
possible value: 255 for uint8 (the default), 2 for tensors in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .opencv import cv2
from .preprocess import U8

FloatArray = NDArray[np.float64]

MAX_PSNR_DB = 200.0
"""PSNR of equal arrays, in place of infinity, so that a mean stays finite. It lies above the
150 dB that float32 rounding reaches and above one wrong level in any 8-bit image (128 dB in 8K)."""

_SSIM_WINDOW_PX, _SSIM_SIGMA_PX = 11, 1.5
_SSIM_K1, _SSIM_K2 = 0.01, 0.03


def mse(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return the mean squared error of two arrays of the same shape."""
    return float(np.mean((a.astype(np.float64) - b) ** 2))


def l1(a: U8, b: U8) -> float:
    """Return the mean absolute difference of two uint8 images, scaled to [0, 1]."""
    return float(np.mean(np.abs(a.astype(np.float64) - b)) / 255)


def psnr_from_mse(mean_squared_error: float, data_range: float = 255.0) -> float:
    """Return the PSNR in dB: at most MAX_PSNR_DB, and 0 for an error that is NaN or infinite."""
    if not np.isfinite(mean_squared_error):
        return 0.0
    if mean_squared_error == 0:
        return MAX_PSNR_DB
    return min(MAX_PSNR_DB, float(10 * np.log10(data_range**2 / mean_squared_error)))


def psnr(a: NDArray[Any], b: NDArray[Any], data_range: float = 255.0) -> float:
    """Return the peak signal-to-noise ratio of two arrays of the same shape.

    Returns:
        dB: at most MAX_PSNR_DB, which equal arrays have, and 0 where a value is NaN.
    """
    return psnr_from_mse(mse(a, b), data_range)


def ssim(a: NDArray[Any], b: NDArray[Any], data_range: float = 255.0) -> float:
    """Return the structural similarity of two HWC images (Wang et al. 2004).

    The window is a Gaussian of 11 pixels with a standard deviation of 1.5. The result is the mean
    over the channels and over all positions where the window fits (no padding).

    Args:
        a: image of at least 11x11 pixels, uint8 or float.
        b: image of the same shape.
        data_range: distance between the smallest and the largest possible value.
    """
    x, y = (np.ascontiguousarray(image, np.float64) for image in (a, b))
    border = _SSIM_WINDOW_PX // 2

    def blur(z: FloatArray) -> FloatArray:
        blurred = cv2.GaussianBlur(z, (_SSIM_WINDOW_PX, _SSIM_WINDOW_PX), _SSIM_SIGMA_PX)
        return np.asarray(blurred, np.float64)[border:-border, border:-border]

    c1, c2 = (_SSIM_K1 * data_range) ** 2, (_SSIM_K2 * data_range) ** 2
    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    map_ = ((2 * mx * my + c1) * (2 * cov + c2)) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return float(map_.mean())


def image_similarity(pairs: Iterable[tuple[U8, U8]]) -> dict[str, float]:
    """Return the means of `psnr`, `ssim` and `l1` over pairs of uint8 HWC images of equal size."""
    pairs = list(pairs)
    metrics = {"psnr": psnr, "ssim": ssim, "l1": l1}
    return {
        name: float(np.mean([metric(a, b) for a, b in pairs])) for name, metric in metrics.items()
    }
