"""GAN and pixel losses of CycleGAN and pix2pix (Zhu et al. 2017, section 3).

Logits are the raw outputs of a discriminator, N,1,h,w. Every loss is a float32 scalar.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

AdversarialLoss = Callable[[Tensor], Tensor]


def _squared_error_to(target: float) -> AdversarialLoss:
    return lambda logits: (logits.float() - target).square().mean()


@dataclass(frozen=True)
class GanLoss:
    """GAN losses as functions of the discriminator's logits.

    Attributes:
        real: Loss of the discriminator on real images.
        fake: Loss of the discriminator on generated images.
        generator: Loss of the generator on its images.
    """

    real: AdversarialLoss
    fake: AdversarialLoss
    generator: AdversarialLoss


GAN_LOSSES = {
    # (D(x) - 1)^2 and D(x)^2: Mao et al. 2017; section 4 of the paper.
    "lsgan": GanLoss(_squared_error_to(1.0), _squared_error_to(0.0), _squared_error_to(1.0)),
    # -log D(x) and -log(1 - D(x)) with D a logit, non-saturating: Goodfellow et al. 2014.
    "vanilla": GanLoss(
        lambda logits: F.softplus(-logits.float()).mean(),
        lambda logits: F.softplus(logits.float()).mean(),
        lambda logits: F.softplus(-logits.float()).mean(),
    ),
    # max(0, 1 - D(x)) and max(0, 1 + D(x)); G raises D(x): Lim and Ye 2017.
    "hinge": GanLoss(
        lambda logits: F.relu(1 - logits.float()).mean(),
        lambda logits: F.relu(1 + logits.float()).mean(),
        lambda logits: -logits.float().mean(),
    ),
}


def l1_loss(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean of |a - b|: cycle consistency (equation 2) and identity (section 5.2)."""
    return (a.float() - b.float()).abs().mean()


def l2_loss(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean of (a - b)^2."""
    return (a.float() - b.float()).square().mean()


PIXEL_LOSSES = {"l1": l1_loss, "l2": l2_loss}
