"""pix2pix (Isola et al. 2017): image translation trained on pairs.

    G : X -> Y     "G_A", or "G_B" for the direction B to A
    D(x, y)        "D_A" or "D_B": distinguishes the pair (x, y) from (x, G(x))

The noise input of the paper is the generator's dropout.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cgt.runtime.models.metadata import Direction

from .base import Losses, Method
from .losses import l1_loss


class Pix2Pix(Method):
    """pix2pix with a generator and a discriminator conditioned on the input."""

    paired = True
    sample_columns = ("x", "G(x)", "y")

    @property
    def direction(self) -> Direction:
        """Return the direction that the run trains."""
        return "AtoB" if self.config.direction == "AtoB" else "BtoA"

    def _build_networks(self) -> tuple[dict[str, nn.Module], dict[str, nn.Module]]:
        self._side = "A" if self.direction == "AtoB" else "B"
        pair_channels = self.config.channels_a + self.config.channels_b
        return (
            {f"G_{self._side}": self.create_generator(self.direction)},
            {f"D_{self._side}": self.create_discriminator(pair_channels)},
        )

    def _input_and_target(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Return (x, y), the input and the target."""
        return (a, b) if self.direction == "AtoB" else (b, a)

    def generator_losses(self, a: Tensor, b: Tensor) -> tuple[Losses, tuple[Tensor, ...]]:
        """Return the terms of equation 4: the conditional GAN loss and lambda times L1."""
        x, y = self._input_and_target(a, b)
        fake = self.ddp_networks[f"G_{self._side}"](x)
        discriminator = self.networks[f"D_{self._side}"]
        losses = {
            "G": self.gan_loss.generator(discriminator(torch.cat([x, fake], 1))),
            "L1": self.config.lambda_l1 * l1_loss(fake, y),
        }
        return losses, (torch.cat([x, fake.float()], 1),)

    def discriminator_losses(self, a: Tensor, b: Tensor, generated: tuple[Tensor, ...]) -> Losses:
        x, y = self._input_and_target(a, b)
        pairs = self.query_pool("B" if self._side == "A" else "A", generated[0])
        discriminator = self.ddp_networks[f"D_{self._side}"]
        return {"D": self.real_fake_loss(discriminator, torch.cat([x, y], 1), pairs)}

    def sample(self, a: Tensor, b: Tensor) -> list[Tensor]:
        x, y = self._input_and_target(self.to_device(a), self.to_device(b))
        with self.eval_generators() as generators:
            return [x, generators[f"G_{self._side}"](x), y]
