"""Sums over many pictures, and what is read off them: channels that say what all of them do, and
convolutions that answer as others do. Sums are float64; what cannot be told is left as it was."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

RELATIVE_RIDGE = 1e-3  # of the mean square of a feature; towards the weights that were
MIN_REL_RESIDUAL = 1e-9  # share of the largest variance below which a channel says nothing new


def select_channels(covariances: Sequence[Tensor], count: int) -> Tensor:
    """`count` of n channels, ascending: greedily those from which all of them are best told,
    linearly. That is Cholesky's decomposition, pivoted by what a step explains.

    covariances: n,n each, of different pictures of the same channels.
    """
    left = [covariance.double().clone() for covariance in covariances]
    floors = [MIN_REL_RESIDUAL * float(covariance.diagonal().max()) for covariance in left]
    selected: list[int] = []
    while len(selected) < count:
        gain = torch.zeros(len(left[0]), dtype=torch.float64)
        for rest, floor in zip(left, floors, strict=True):
            own = rest.diagonal()
            explained_variance = rest.square().sum(0) / own.clamp_min(1e-300)
            gain += torch.where(own > floor, explained_variance, 0.0)
        gain[selected] = -1.0
        pivot = int(gain.argmax())
        selected.append(pivot)
        for rest, floor in zip(left, floors, strict=True):
            own = rest[pivot, pivot].clone()
            if own > floor:
                column = rest[:, pivot].clone()
                rest -= torch.outer(column, column) / own
    return torch.tensor(sorted(selected))


class LeastSquares:
    """w (outputs,features) that minimise the sum of |w x - y|^2, drawn a little to what was."""

    def __init__(self, features: int, outputs: int) -> None:
        self.gram = torch.zeros(features, features, dtype=torch.float64)
        self.cross = torch.zeros(features, outputs, dtype=torch.float64)

    def add(self, x: Tensor, y: Tensor, gram: bool = True) -> None:
        """P,features and P,outputs float32, weighted already. gram: False where this x has been
        added before."""
        if gram:
            self.gram += (x.T @ x).double()
        self.cross += (x.T @ y).double()

    def solve(self, prior: Tensor) -> Tensor:
        """From `before`, outputs,features; where nothing was seen, that."""
        old = prior.double().T
        level = float(self.gram.diagonal().mean())
        if level <= 0:
            return prior
        ridge = RELATIVE_RIDGE * level * torch.eye(len(old), dtype=torch.float64)
        left = self.cross - self.gram @ old
        change: Tensor = torch.linalg.solve(self.gram + ridge, left)
        return (old + change).T.to(prior.dtype)


class AffineFit:
    """y = scale x + shift of each of `channels`, by least squares."""

    def __init__(self, channels: int) -> None:
        self.moments = torch.zeros(5, channels, dtype=torch.float64)

    def add(self, x: Tensor, y: Tensor) -> None:
        """P,channels each."""
        x, y = x.double(), y.double()
        one = torch.ones_like(x)
        self.moments += torch.stack([v.sum(0) for v in (one, x, y, x * x, x * y)])

    def solve(self) -> tuple[Tensor, Tensor]:
        """float32; a channel that never changes has the scale 0."""
        n, x, y, xx, xy = self.moments
        n = n.clamp_min(1)
        variance, covariance = xx / n - (x / n) ** 2, xy / n - x * y / n**2
        scale = torch.where(variance > 1e-6, covariance / variance.clamp_min(1e-6), 0.0)
        return scale.float(), (y / n - scale * x / n).float()
