"""CycleGAN (Zhu et al. 2017): unpaired image translation with cycle consistency.

Symbols of the paper and names in checkpoints (those of pytorch-CycleGAN-and-pix2pix):

    G : X -> Y   "G_A"   translates domain A to domain B
    F : Y -> X   "G_B"   translates domain B to domain A
    D_Y          "D_A"   distinguishes real B from G(A)
    D_X          "D_B"   distinguishes real A from F(B)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .base import Losses, Method
from .losses import PIXEL_LOSSES


@dataclass(frozen=True)
class GeneratorOutputs:
    """All generator outputs of one batch."""

    fake_b: Tensor  # G(a)
    fake_a: Tensor  # F(b)
    rec_a: Tensor  # F(G(a))
    rec_b: Tensor  # G(F(b))
    identity_b: Tensor | None  # G(b); None without identity loss
    identity_a: Tensor | None  # F(a)


class CycleGAN(Method):
    """CycleGAN with two generators and two discriminators."""

    paired = False
    sample_columns = ("a", "G(a)", "F(G(a))", "F(a)", "b", "F(b)", "G(F(b))", "G(b)")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.G, self.F = self.ddp_networks["G_A"], self.ddp_networks["G_B"]
        self.D_Y, self.D_X = self.networks["D_A"], self.networks["D_B"]

    def _build_networks(self) -> tuple[dict[str, nn.Module], dict[str, nn.Module]]:
        config = self.config
        generators = {"G_A": self.create_generator("AtoB"), "G_B": self.create_generator("BtoA")}
        discriminators = {
            "D_A": self.create_discriminator(config.channels_b),
            "D_B": self.create_discriminator(config.channels_a),
        }
        return generators, discriminators

    def forward(self, a: Tensor, b: Tensor) -> GeneratorOutputs:
        """Compute both translations, both cycles and, if they have a weight, both identities."""
        if self.config.lambda_identity > 0:
            fake_b, identity_b = self._translation_and_identity(self.G, a, b)
            fake_a, identity_a = self._translation_and_identity(self.F, b, a)
        else:
            fake_b, fake_a, identity_b, identity_a = self.G(a), self.F(b), None, None
        return GeneratorOutputs(
            fake_b, fake_a, self.F(fake_b), self.G(fake_a), identity_b, identity_a
        )

    def _translation_and_identity(
        self, generator: nn.Module, x: Tensor, y: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute a translation and an identity, in one pass if possible.

        Except for BatchNorm, generators process each image independently, so a batch of two equals
        two batches of one.
        """
        if x.shape == y.shape and self.config.generator_config.norm != "batch":
            translated, identity = generator(torch.cat([x, y])).chunk(2)
            return translated, identity
        return generator(x), generator(y)

    def full_objective(self, a: Tensor, b: Tensor, outputs: GeneratorOutputs) -> Losses:
        """Return the weighted terms of equation 3 and the identity term of section 5.2, by name."""
        lambda_a, lambda_b = self.config.cycle_weights
        distance = PIXEL_LOSSES[self.config.cycle_loss]
        losses = {
            "G_A": self.gan_loss.generator(self.D_Y(outputs.fake_b)),
            "G_B": self.gan_loss.generator(self.D_X(outputs.fake_a)),
            "cycle_A": lambda_a * distance(outputs.rec_a, a),
            "cycle_B": lambda_b * distance(outputs.rec_b, b),
        }
        if outputs.identity_a is not None and outputs.identity_b is not None:
            identity_weight = self.config.lambda_identity
            losses["identity_A"] = (
                lambda_a * identity_weight * PIXEL_LOSSES["l1"](outputs.identity_a, a)
            )
            losses["identity_B"] = (
                lambda_b * identity_weight * PIXEL_LOSSES["l1"](outputs.identity_b, b)
            )
        return losses

    def generator_losses(self, a: Tensor, b: Tensor) -> tuple[Losses, tuple[Tensor, ...]]:
        outputs = self.forward(a, b)
        return self.full_objective(a, b, outputs), (outputs.fake_a, outputs.fake_b)

    def discriminator_losses(self, a: Tensor, b: Tensor, generated: tuple[Tensor, ...]) -> Losses:
        fake_a, fake_b = generated
        return {
            "D_A": self.real_fake_loss(self.ddp_networks["D_A"], b, self.query_pool("B", fake_b)),
            "D_B": self.real_fake_loss(self.ddp_networks["D_B"], a, self.query_pool("A", fake_a)),
        }

    def sample(self, a: Tensor, b: Tensor) -> list[Tensor]:
        a, b = self.to_device(a), self.to_device(b)
        with self.eval_generators() as generators:
            G, F = generators["G_A"], generators["G_B"]
            fake_b, fake_a = G(a), F(b)
            has_identity = a.shape[1] == b.shape[1]
            row_a = [a, fake_b, F(fake_b), F(a) if has_identity else a]
            return [*row_a, b, fake_a, G(fake_a), G(b) if has_identity else b]
