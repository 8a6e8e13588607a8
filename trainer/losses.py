"""The losses of CycleGAN, in the paper's symbols (Zhu et al. 2017, section 3)."""

from __future__ import annotations

from torch import Tensor


def gan_loss(verdict: Tensor, real: bool) -> Tensor:
    """Least squares (Mao et al. 2017; section 4 of the paper): (D(x) - 1)^2 or D(x)^2, the mean.

    verdict: N,1,h,w raw output of a discriminator. Returns a float32 scalar.
    """
    return (verdict.float() - (1.0 if real else 0.0)).square().mean()


def l1_loss(a: Tensor, b: Tensor) -> Tensor:
    """||a - b||_1 per value: cycle consistency (equation 2) and identity (section 5.2)."""
    return (a.float() - b.float()).abs().mean()
