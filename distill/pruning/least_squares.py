"""Least squares over many images: channel selection, convolution weights and affine fits.

Sums are float64. Values that the data does not determine stay as they were.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

RELATIVE_RIDGE = 1e-3  # share of a feature's mean square; pulls towards the prior weights
MIN_REL_RESIDUAL = 1e-9  # share of the largest variance; below it a channel is redundant


def select_channels(covariances: Sequence[Tensor], count: int) -> Tensor:
    """Select the channels that best predict all channels linearly, greedily.

    This is a Cholesky decomposition, pivoted by the variance that a step explains.

    Args:
        covariances: n,n each, of the same channels in different layers.
        count: number of channels to select.

    Returns:
        Ascending indices.
    """
    residuals = [covariance.double().clone() for covariance in covariances]
    floors = [MIN_REL_RESIDUAL * float(covariance.diagonal().max()) for covariance in residuals]
    selected: list[int] = []
    while len(selected) < count:
        gain = torch.zeros(len(residuals[0]), dtype=torch.float64)
        for residual, floor in zip(residuals, floors, strict=True):
            variance = residual.diagonal()
            explained_variance = residual.square().sum(0) / variance.clamp_min(1e-300)
            gain += torch.where(variance > floor, explained_variance, 0.0)
        gain[selected] = -1.0
        pivot = int(gain.argmax())
        selected.append(pivot)
        for residual, floor in zip(residuals, floors, strict=True):
            pivot_variance = residual[pivot, pivot].clone()
            if pivot_variance > floor:
                column = residual[:, pivot].clone()
                residual -= torch.outer(column, column) / pivot_variance
    return torch.tensor(sorted(selected))


class LeastSquares:
    """Ridge regression towards prior weights: w that minimizes the sum of |w x - y|^2.

    Args:
        features: length of x.
        outputs: length of y.
    """

    def __init__(self, features: int, outputs: int) -> None:
        self.gram = torch.zeros(features, features, dtype=torch.float64)
        self.cross = torch.zeros(features, outputs, dtype=torch.float64)

    def add(self, x: Tensor, y: Tensor, gram: bool = True) -> None:
        """Add P weighted samples.

        Args:
            x: float32 P,features.
            y: float32 P,outputs.
            gram: whether x is new; False if only its y changed.
        """
        if gram:
            self.gram += (x.T @ x).double()
        self.cross += (x.T @ y).double()

    def solve(self, prior: Tensor) -> Tensor:
        """Return the weights, outputs,features; they equal `prior` where there is no data."""
        prior_t = prior.double().T
        level = float(self.gram.diagonal().mean())
        if level <= 0:
            return prior
        ridge = RELATIVE_RIDGE * level * torch.eye(len(prior_t), dtype=torch.float64)
        remainder = self.cross - self.gram @ prior_t
        change: Tensor = torch.linalg.solve(self.gram + ridge, remainder)
        return (prior_t + change).T.to(prior.dtype)


class AffineFit:
    """Least-squares fit of y = scale x + shift for each channel."""

    def __init__(self, channels: int) -> None:
        self.moments = torch.zeros(5, channels, dtype=torch.float64)

    def add(self, x: Tensor, y: Tensor) -> None:
        """Add P samples of each channel, P,channels each."""
        x, y = x.double(), y.double()
        one = torch.ones_like(x)
        self.moments += torch.stack([v.sum(0) for v in (one, x, y, x * x, x * y)])

    def solve(self) -> tuple[Tensor, Tensor]:
        """Return scale and shift, float32; the scale of a constant channel is 0."""
        n, x, y, xx, xy = self.moments
        n = n.clamp_min(1)
        variance, covariance = xx / n - (x / n) ** 2, xy / n - x * y / n**2
        scale = torch.where(variance > 1e-6, covariance / variance.clamp_min(1e-6), 0.0)
        return scale.float(), (y / n - scale * x / n).float()
