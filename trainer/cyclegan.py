"""CycleGAN: the networks and one training step (Zhu et al. 2017).

The paper's symbols, and the names in checkpoints (those of pytorch-CycleGAN-and-pix2pix):

    G : X -> Y   "G_A"   translates domain A into domain B
    F : Y -> X   "G_B"   translates domain B into domain A
    D_Y          "D_A"   tells real B from G(A)
    D_X          "D_B"   tells real A from F(B)

Batches are N,3,S,S float32 in [-1, 1].
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .config import TrainConfig
from .losses import gan_loss, l1_loss
from .networks import PatchDiscriminator, build_generator, init_generator, init_weights
from .pool import ImagePool
from .projected import ProjectedDiscriminator

Losses = dict[str, Tensor]


def learning_rate_factor(epoch: int, epochs: int, decay_epochs: int) -> float:
    """1 for `epochs` epochs, then linearly towards 0 over `decay_epochs` more. Counts from 0."""
    return 1.0 - max(0, epoch + 1 - epochs) / (decay_epochs + 1)


@dataclass(frozen=True)
class Views:
    """Everything the generators make of one batch."""

    fake_b: Tensor  # G(a)
    fake_a: Tensor  # F(b)
    cycle_a: Tensor  # F(G(a))
    cycle_b: Tensor  # G(F(b))
    same_b: Tensor | None  # G(b); None where the identity loss has no weight
    same_a: Tensor | None  # F(a)


def _generator(config: TrainConfig) -> nn.Module:
    network = build_generator(config.generator_config)
    init_generator(network)
    return network


def _discriminator(config: TrainConfig) -> nn.Module:
    if config.discriminator == "projected":
        return ProjectedDiscriminator(config.ndf)
    network = PatchDiscriminator(config.ndf)
    init_weights(network)
    return network


class CycleGAN:
    """Both generators, both discriminators, their optimizers and image pools."""

    def __init__(self, config: TrainConfig, device: torch.device, autocast: torch.dtype | None):
        self.config, self.device, self.autocast = config, device, autocast
        torch.manual_seed(config.seed)
        self.networks: dict[str, nn.Module] = {
            "G_A": _generator(config),
            "G_B": _generator(config),
            "D_A": _discriminator(config),
            "D_B": _discriminator(config),
        }
        for network in self.networks.values():
            # NCHW on purpose: with a batch of one and a channels-last gradient, InstanceNorm2d's
            # backward is wrong on the CPU (PyTorch 2.13: 140 % error), and nothing learns.
            network.to(device)
        self.G, self.F = self.networks["G_A"], self.networks["G_B"]
        self.D_Y, self.D_X = self.networks["D_A"], self.networks["D_B"]
        self.optimizers = {
            "G": self._adam(self.G, self.F),
            "D": self._adam(self.D_Y, self.D_X),
        }
        # What is shown and exported where there is one: it does not swing with the last batches.
        self.averages = {
            name: AveragedModel(self.networks[name], multi_avg_fn=get_ema_multi_avg_fn(config.ema))  # type: ignore[no-untyped-call]
            for name in ("G_A", "G_B")
            if config.ema
        }
        self.pools = {
            "A": ImagePool(config.pool_size, config.seed),
            "B": ImagePool(config.pool_size, config.seed + 1),
        }

    def _adam(self, *networks: nn.Module) -> torch.optim.Adam:
        parameters = [p for network in networks for p in network.parameters()]
        return torch.optim.Adam(parameters, lr=self.config.lr, betas=(0.5, 0.999), fused=True)

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        if self.autocast is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.autocast)

    def to_device(self, batch: Tensor) -> Tensor:
        return batch.to(self.device)

    def best_views(self, a: Tensor, b: Tensor) -> Views:
        """`views` by the averaged generators where there are some; no gradients."""
        G, F = self.averages.get("G_A", self.G), self.averages.get("G_B", self.F)
        with torch.no_grad(), self._precision():
            fake_b, fake_a = G(a), F(b)
            return Views(fake_b, fake_a, F(fake_b), G(fake_a), None, None)

    def views(self, a: Tensor, b: Tensor) -> Views:
        """Both translations, both cycles and, where they have a weight, both identities.

        A generator's translation and identity share one pass: InstanceNorm looks at each image
        alone, so a batch of two is the same as two batches of one. A batch norm does not."""
        batch_norm = self.config.generator_config.norm == "batch"
        with self._precision():
            if self.config.lambda_identity > 0 and batch_norm:
                fake_b, same_b, fake_a, same_a = self.G(a), self.G(b), self.F(b), self.F(a)
            elif self.config.lambda_identity > 0:
                fake_b, same_b = self.G(torch.cat([a, b])).chunk(2)
                fake_a, same_a = self.F(torch.cat([b, a])).chunk(2)
            else:
                fake_b, fake_a, same_b, same_a = self.G(a), self.F(b), None, None
            return Views(fake_b, fake_a, self.F(fake_b), self.G(fake_a), same_b, same_a)

    def generator_losses(self, a: Tensor, b: Tensor, views: Views) -> Losses:
        """Equation 3 plus the identity term of section 5.2, split by name, weights applied."""
        config = self.config
        with self._precision():
            judged_b, judged_a = self.D_Y(views.fake_b), self.D_X(views.fake_a)
        losses = {
            "G_A": gan_loss(judged_b, real=True),
            "G_B": gan_loss(judged_a, real=True),
            "cycle_A": config.lambda_cycle * l1_loss(views.cycle_a, a),
            "cycle_B": config.lambda_cycle * l1_loss(views.cycle_b, b),
        }
        if views.same_a is not None and views.same_b is not None:
            weight = config.lambda_cycle * config.lambda_identity
            losses["identity_A"] = weight * l1_loss(views.same_a, a)
            losses["identity_B"] = weight * l1_loss(views.same_b, b)
        return losses

    def discriminator_loss(self, judge: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        """Half the sum over real and fake, which slows D down relative to G (section 7.1)."""
        with self._precision():
            verdict_real, verdict_fake = judge(torch.cat([real, fake])).chunk(2)
        return 0.5 * (gan_loss(verdict_real, real=True) + gan_loss(verdict_fake, real=False))

    def step(self, a: Tensor, b: Tensor, epoch: int) -> Losses:
        """One optimisation step. Returns the losses, detached."""
        config = self.config
        rate = config.lr * learning_rate_factor(epoch, config.epochs, config.decay_epochs)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate
        a, b = self.to_device(a), self.to_device(b)

        # Generators. The discriminators only pass the gradient on.
        self._judges_learn(False)
        views = self.views(a, b)
        losses = self.generator_losses(a, b, views)
        self._descend("G", torch.stack(list(losses.values())).sum())

        # Discriminators, on a history of fakes.
        self._judges_learn(True)
        fake_b = self.pools["B"].query(views.fake_b.float())
        fake_a = self.pools["A"].query(views.fake_a.float())
        losses["D_A"] = self.discriminator_loss(self.D_Y, b, fake_b)
        losses["D_B"] = self.discriminator_loss(self.D_X, a, fake_a)
        self._descend("D", losses["D_A"] + losses["D_B"])
        for name, average in self.averages.items():
            average.update_parameters(self.networks[name])
        return {name: loss.detach() for name, loss in losses.items()}

    def _judges_learn(self, learn: bool) -> None:
        for judge in (self.D_Y, self.D_X):
            judge.requires_grad_(learn)

    def _descend(self, which: str, loss: Tensor) -> None:
        self.optimizers[which].zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizers[which].step()

    def state_dict(self) -> dict[str, Any]:
        """All that a later step depends on."""
        return {
            "networks": {name: net.state_dict() for name, net in self.networks.items()},
            "optimizers": {name: opt.state_dict() for name, opt in self.optimizers.items()},
            "pools": {name: pool.state_dict() for name, pool in self.pools.items()},
            "averages": {name: avg.state_dict() for name, avg in self.averages.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        for name, average in self.averages.items():
            average.load_state_dict(state["averages"][name])
        for name, pool in self.pools.items():
            pool.load_state_dict(state["pools"][name], self.device)
