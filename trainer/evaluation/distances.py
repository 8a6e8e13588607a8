"""Distances between two sets of pictures, by their features."""

from __future__ import annotations

import numpy as np

from .features import Features


def frechet_distance(x: Features, y: Features) -> float:
    """Between the normal distributions with the sets' means and covariances (Heusel et al. 2017):
    |m_x - m_y|^2 + tr(S_x + S_y - 2 (S_x S_y)^(1/2)). N,D and M,D with N, M > 1.

    It shrinks as the sets grow: compare distances of equally many pictures only.
    """
    centered_x, centered_y = (
        (z - z.mean(0)) / np.sqrt(len(z) - 1) for z in (x, y)
    )  # S = centred^T centred
    # The eigenvalues of S_x S_y are the squared singular values of centred_x centred_y^T, a
    # matrix that is as small as the sets.
    root = np.linalg.svd(centered_x @ centered_y.T, compute_uv=False).sum()
    spread = (centered_x**2).sum() + (centered_y**2).sum()
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + spread - 2 * root)


def kernel_distance(x: Features, y: Features) -> float:
    """The squared maximum mean discrepancy with the kernel (x.y / D + 1)^3, unbiased, over all
    pairs (Binkowski et al. 2018). N,D and M,D with N, M > 1. May be below 0."""

    def kernel(one: Features, two: Features) -> Features:
        return np.asarray((one @ two.T / one.shape[1] + 1) ** 3)

    def within(z: Features) -> float:
        values = kernel(z, z)
        return float((values.sum() - np.trace(values)) / (len(z) * (len(z) - 1)))

    return within(x) + within(y) - 2 * float(kernel(x, y).mean())
