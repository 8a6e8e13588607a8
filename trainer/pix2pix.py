"""pix2pix (Isola et al. 2017): one generator, learned from pairs.

    G : X -> Y     "G_A", or "G_B" for the direction B to A
    D(x, y)        "D_A" or "D_B": tells the pair (x, y) from (x, G(x))

Its noise is the generator's dropout.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cgt.runtime.artifact import Direction

from .losses import l1_loss
from .method import Losses, Method


class Pix2Pix(Method):
    """A generator and a discriminator that sees what it was given, too."""

    paired = True
    columns = ("x", "G(x)", "y")

    @property
    def direction(self) -> Direction:
        return "AtoB" if self.config.direction == "AtoB" else "BtoA"

    def _build(self) -> tuple[dict[str, nn.Module], dict[str, nn.Module]]:
        self._side = "A" if self.direction == "AtoB" else "B"
        both = self.config.channels_a + self.config.channels_b
        return (
            {f"G_{self._side}": self.new_generator(self.direction)},
            {f"D_{self._side}": self.new_judge(both)},
        )

    def _ordered(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """(x, y): what is given and what is wanted."""
        return (a, b) if self.direction == "AtoB" else (b, a)

    def learn_generators(self, a: Tensor, b: Tensor) -> tuple[Losses, tuple[Tensor, ...]]:
        """Equation 4: the conditional GAN loss and lambda times L1."""
        x, y = self._ordered(a, b)
        fake = self.synced[f"G_{self._side}"](x)
        judge = self.networks[f"D_{self._side}"]
        losses = {
            "G": self.gan.fool(judge(torch.cat([x, fake], 1))),
            "L1": self.config.lambda_l1 * l1_loss(fake, y),
        }
        return losses, (torch.cat([x, fake.float()], 1),)

    def learn_judges(self, a: Tensor, b: Tensor, made: tuple[Tensor, ...]) -> Losses:
        x, y = self._ordered(a, b)
        pairs = self.from_pool("B" if self._side == "A" else "A", made[0])
        judge = self.synced[f"D_{self._side}"]
        return {"D": self.discriminator_loss(judge, torch.cat([x, y], 1), pairs)}

    def sample(self, a: Tensor, b: Tensor) -> list[Tensor]:
        x, y = self._ordered(self.to_device(a), self.to_device(b))
        with self.at_rest() as shown:
            return [x, shown[f"G_{self._side}"](x), y]
