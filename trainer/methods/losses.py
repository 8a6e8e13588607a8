"""The losses of CycleGAN and pix2pix, in the papers' symbols (Zhu et al. 2017, section 3).

Verdicts are N,1,h,w raw outputs of a discriminator; every loss is a float32 scalar.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

AdversarialLoss = Callable[[Tensor], Tensor]


def _squared_error_to(target: float) -> AdversarialLoss:
    return lambda verdict: (verdict.float() - target).square().mean()


@dataclass(frozen=True)
class GanLoss:
    """What D learns from real and from generated images, and what G learns from D's verdict."""

    real: AdversarialLoss
    fake: AdversarialLoss
    generator: AdversarialLoss


GAN_LOSSES = {
    # (D(x) - 1)^2 and D(x)^2: Mao et al. 2017; section 4 of the paper.
    "lsgan": GanLoss(_squared_error_to(1.0), _squared_error_to(0.0), _squared_error_to(1.0)),
    # -log D(x) and -log(1 - D(x)) with D a logit, not saturating: Goodfellow et al. 2014.
    "vanilla": GanLoss(
        lambda verdict: F.softplus(-verdict.float()).mean(),
        lambda verdict: F.softplus(verdict.float()).mean(),
        lambda verdict: F.softplus(-verdict.float()).mean(),
    ),
    # max(0, 1 - D(x)) and max(0, 1 + D(x)); G raises D(x): Lim and Ye 2017.
    "hinge": GanLoss(
        lambda verdict: F.relu(1 - verdict.float()).mean(),
        lambda verdict: F.relu(1 + verdict.float()).mean(),
        lambda verdict: -verdict.float().mean(),
    ),
}


def l1_loss(a: Tensor, b: Tensor) -> Tensor:
    """||a - b||_1 per value: cycle consistency (equation 2) and identity (section 5.2)."""
    return (a.float() - b.float()).abs().mean()


def l2_loss(a: Tensor, b: Tensor) -> Tensor:
    """||a - b||_2^2 per value."""
    return (a.float() - b.float()).square().mean()


PIXEL_LOSSES = {"l1": l1_loss, "l2": l2_loss}
