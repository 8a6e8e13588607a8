"""Frechet (FID) and kernel (KID) distance between the features of two image sets."""

from __future__ import annotations

import numpy as np

from .features import Features


def frechet_distance(x: Features, y: Features) -> float:
    """Compute the Frechet distance between normal distributions (Heusel et al. 2017).

    The distributions have the means m and covariances S of the sets:
    |m_x - m_y|^2 + tr(S_x + S_y - 2 (S_x S_y)^(1/2)). The distance shrinks as the sets grow, so
    compare only distances of equally large sets.

    Args:
        x: Features of one set, N,D with N > 1.
        y: Features of the other set, M,D with M > 1.

    Returns:
        The distance; 0 means equal.
    """
    # S = centered^T centered
    centered_x, centered_y = ((z - z.mean(0)) / np.sqrt(len(z) - 1) for z in (x, y))
    # The eigenvalues of S_x S_y are the squared singular values of centered_x centered_y^T, a
    # matrix that is only as large as the sets.
    root = np.linalg.svd(centered_x @ centered_y.T, compute_uv=False).sum()
    spread = (centered_x**2).sum() + (centered_y**2).sum()
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + spread - 2 * root)


def kernel_distance(x: Features, y: Features) -> float:
    """Compute the kernel distance (Binkowski et al. 2018).

    It is the unbiased estimate of the squared maximum mean discrepancy with the kernel
    (x.y / D + 1)^3, over all pairs.

    Args:
        x: Features of one set, N,D with N > 1.
        y: Features of the other set, M,D with M > 1.

    Returns:
        The distance; 0 means equal. It may be negative.
    """

    def kernel(one: Features, two: Features) -> Features:
        return np.asarray((one @ two.T / one.shape[1] + 1) ** 3)

    def within(z: Features) -> float:
        values = kernel(z, z)
        return float((values.sum() - np.trace(values)) / (len(z) * (len(z) - 1)))

    return within(x) + within(y) - 2 * float(kernel(x, y).mean())
