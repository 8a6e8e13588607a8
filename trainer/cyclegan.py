"""CycleGAN (Zhu et al. 2017): two generators that undo each other, learned from unpaired images.

The paper's symbols, and the names in checkpoints (those of pytorch-CycleGAN-and-pix2pix):

    G : X -> Y   "G_A"   translates domain A into domain B
    F : Y -> X   "G_B"   translates domain B into domain A
    D_Y          "D_A"   tells real B from G(A)
    D_X          "D_B"   tells real A from F(B)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .losses import DISTANCES
from .method import Losses, Method


@dataclass(frozen=True)
class Views:
    """Everything the generators make of one batch."""

    fake_b: Tensor  # G(a)
    fake_a: Tensor  # F(b)
    cycle_a: Tensor  # F(G(a))
    cycle_b: Tensor  # G(F(b))
    same_b: Tensor | None  # G(b); None where the identity loss has no weight
    same_a: Tensor | None  # F(a)


class CycleGAN(Method):
    """Both generators and both discriminators."""

    paired = False
    columns = ("a", "G(a)", "F(G(a))", "F(a)", "b", "F(b)", "G(F(b))", "G(b)")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.G, self.F = self.synced["G_A"], self.synced["G_B"]
        self.D_Y, self.D_X = self.networks["D_A"], self.networks["D_B"]

    def _build(self) -> tuple[dict[str, nn.Module], dict[str, nn.Module]]:
        config = self.config
        generators = {"G_A": self.new_generator("AtoB"), "G_B": self.new_generator("BtoA")}
        judges = {
            "D_A": self.new_judge(config.channels_b),
            "D_B": self.new_judge(config.channels_a),
        }
        return generators, judges

    def views(self, a: Tensor, b: Tensor) -> Views:
        """Both translations, both cycles and, where they have a weight, both identities."""
        if self.config.lambda_identity > 0:
            fake_b, same_b = self._both(self.G, a, b)
            fake_a, same_a = self._both(self.F, b, a)
        else:
            fake_b, fake_a, same_b, same_a = self.G(a), self.F(b), None, None
        return Views(fake_b, fake_a, self.F(fake_b), self.G(fake_a), same_b, same_a)

    def _both(self, generator: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """A translation and an identity in one pass: but for BatchNorm each image is looked at
        alone, so a batch of two is the same as two batches of one."""
        if x.shape == y.shape and self.config.generator_config.norm != "batch":
            one, two = generator(torch.cat([x, y])).chunk(2)
            return one, two
        return generator(x), generator(y)

    def generator_losses(self, a: Tensor, b: Tensor, views: Views) -> Losses:
        """Equation 3 plus the identity term of section 5.2, split by name, weights applied."""
        lambda_a, lambda_b = self.config.cycle_weights
        distance = DISTANCES[self.config.cycle_loss]
        losses = {
            "G_A": self.gan.fool(self.D_Y(views.fake_b)),
            "G_B": self.gan.fool(self.D_X(views.fake_a)),
            "cycle_A": lambda_a * distance(views.cycle_a, a),
            "cycle_B": lambda_b * distance(views.cycle_b, b),
        }
        if views.same_a is not None and views.same_b is not None:
            same = self.config.lambda_identity
            losses["identity_A"] = lambda_a * same * DISTANCES["l1"](views.same_a, a)
            losses["identity_B"] = lambda_b * same * DISTANCES["l1"](views.same_b, b)
        return losses

    def learn_generators(self, a: Tensor, b: Tensor) -> tuple[Losses, tuple[Tensor, ...]]:
        views = self.views(a, b)
        return self.generator_losses(a, b, views), (views.fake_a, views.fake_b)

    def learn_judges(self, a: Tensor, b: Tensor, made: tuple[Tensor, ...]) -> Losses:
        fake_a, fake_b = made
        return {
            "D_A": self.discriminator_loss(self.synced["D_A"], b, self.from_pool("B", fake_b)),
            "D_B": self.discriminator_loss(self.synced["D_B"], a, self.from_pool("A", fake_a)),
        }

    def sample(self, a: Tensor, b: Tensor) -> list[Tensor]:
        a, b = self.to_device(a), self.to_device(b)
        with self.at_rest() as shown:
            G, F = shown["G_A"], shown["G_B"]
            fake_b, fake_a = G(a), F(b)
            same = a.shape[1] == b.shape[1]  # the identity exists
            row_a = [a, fake_b, F(fake_b), F(a) if same else a]
            return [*row_a, b, fake_a, G(fake_a), G(b) if same else b]
