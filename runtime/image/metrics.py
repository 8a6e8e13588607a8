"""How alike two pictures are."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from .opencv import cv2
from .preprocess import U8

FloatArray = NDArray[np.float64]

MAX_PSNR_DB = 100.0  # dB of equal pictures, so that a mean stays finite


def psnr(a: U8, b: U8) -> float:
    """Decibels between two uint8 pictures, at most WORST."""
    error = float(np.mean((a.astype(np.float64) - b) ** 2))
    return MAX_PSNR_DB if error == 0 else min(MAX_PSNR_DB, float(10 * np.log10(255**2 / error)))


def ssim(a: U8, b: U8) -> float:
    """Structural similarity of two uint8 HWC pictures: Gaussian window of 11 pixels, deviation
    1.5, mean over channels and all places where the window fits (Wang et al. 2004)."""
    x, y = a.astype(np.float64), b.astype(np.float64)

    def blur(z: FloatArray) -> FloatArray:
        return np.asarray(cv2.GaussianBlur(z, (11, 11), 1.5), np.float64)[5:-5, 5:-5]

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    map_ = ((2 * mx * my + c1) * (2 * cov + c2)) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return float(map_.mean())


def l1(a: U8, b: U8) -> float:
    """Mean absolute difference of two uint8 pictures, in [0, 1]."""
    return float(np.mean(np.abs(a.astype(np.float64) - b)) / 255)


def image_similarity(pairs: Iterable[tuple[U8, U8]]) -> dict[str, float]:
    """Means of psnr, ssim and l1 over pairs of equally large pictures."""
    pairs = list(pairs)
    metrics = {"psnr": psnr, "ssim": ssim, "l1": l1}
    return {
        name: float(np.mean([measure(a, b) for a, b in pairs])) for name, measure in metrics.items()
    }
