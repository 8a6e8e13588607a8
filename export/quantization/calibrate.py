"""INT8 calibration: input ranges of convolutions, and where INT8's range should end."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cgt.runtime.image.preprocess import F32
from cgt.runtime.utils.progress import progress_bar

from ..config import CalibrationMethod
from .hooks import record_activations

PERCENTILE = 99.999  # of the magnitudes; rare large values matter to a generator's images
INT8_LEVELS = 128  # magnitudes of symmetric INT8
HISTOGRAM_BINS = 2048


class MagnitudeHistogram:
    """Histogram of magnitudes in HISTOGRAM_BINS equal bins over [0, upper_edge).

    The edge doubles when a value exceeds it. One pass over the images is enough, and memory stays
    constant.
    """

    def __init__(self) -> None:
        self.counts: NDArray[np.float64] = np.zeros(HISTOGRAM_BINS)
        self.upper_edge = 0.0
        self.max_magnitude = 0.0

    def add(self, x: Tensor) -> None:
        magnitudes = x.detach().float().abs()
        largest = float(magnitudes.max())
        self.max_magnitude = max(self.max_magnitude, largest)
        self.upper_edge = self.upper_edge or largest * 1.01
        while self.upper_edge and largest >= self.upper_edge:
            pairs = self.counts.reshape(-1, 2).sum(1)
            self.counts = np.concatenate([pairs, np.zeros_like(pairs)])
            self.upper_edge *= 2
        if self.upper_edge:
            self.counts += torch.histc(magnitudes, HISTOGRAM_BINS, 0, self.upper_edge).numpy()

    def threshold(self, method: CalibrationMethod) -> float:
        """Return the magnitude that maps to INT8's 127; larger ones are clipped to it."""
        if method == "minmax" or not self.upper_edge:
            return self.max_magnitude
        edge = _percentile_bin(self.counts) if method == "percentile" else _entropy_bin(self.counts)
        return min(self.max_magnitude, self.upper_edge * edge / HISTOGRAM_BINS)


def calibrate(
    network: nn.Module, frames: Iterable[F32], method: CalibrationMethod
) -> dict[str, float]:
    """Run the network over images and choose INT8 ranges.

    Args:
        network: Network in FP32.
        frames: float32 (3, H, W) images in [-1, 1].
        method: How the end of the range is chosen.

    Returns:
        The threshold of each Conv2d's input by module name.
    """
    histograms: dict[str, MagnitudeHistogram] = {}

    def record(name: str, _: nn.Module, x: Tensor, __: Tensor) -> None:
        histograms.setdefault(name, MagnitudeHistogram()).add(x)

    frames = list(frames)
    with (
        record_activations(network, nn.Conv2d, record),
        torch.no_grad(),
        progress_bar("calibrating", len(frames)) as bar,
    ):
        for frame in frames:
            network(torch.from_numpy(frame[None]))
            bar.advance()
    return {name: histogram.threshold(method) for name, histogram in histograms.items()}


def _percentile_bin(counts: NDArray[np.float64]) -> int:
    """Return how many bins hold PERCENTILE of the values."""
    cumulative = np.cumsum(counts) / counts.sum()
    return int(np.searchsorted(cumulative, PERCENTILE / 100) + 1)


def _entropy_bin(counts: NDArray[np.float64]) -> int:
    """Return how many bins to keep for the least Kullback-Leibler divergence of INT8_LEVELS levels.

    See Migacz 2017, "8-bit inference with TensorRT".
    """
    counts = counts.copy()
    counts[0] = counts[1]  # exact zeros, of ReLU and padding, are represented at any threshold
    best, best_divergence = HISTOGRAM_BINS, np.inf
    for kept in range(INT8_LEVELS, HISTOGRAM_BINS + 1, 8):
        p = counts[:kept].copy()
        level = np.arange(kept) * INT8_LEVELS // kept
        filled = p > 0
        mass = np.bincount(level, p, INT8_LEVELS)
        share = np.bincount(level, filled, INT8_LEVELS)
        q = np.where(filled, mass[level] / np.maximum(share[level], 1), 0)
        p[-1] += counts[kept:].sum()  # what is clipped
        if not q.sum() or (p[-1] and not q[-1]):
            continue
        p, q = p / p.sum(), q / q.sum()
        divergence = float(np.sum(p[p > 0] * np.log(p[p > 0] / q[p > 0])))
        if divergence < best_divergence:
            best, best_divergence = kept, divergence
    return best
