"""Distillation training step: losses, networks and state of a student.

T : X -> Y     the teacher, frozen (teacher.py); its outputs come with the data
S : X -> Y     the student, "G_A", or "G_B" if the teacher translates B to A
D              the discriminator between T(x) and S(x); only if lambda_gan > 0
E              the teacher's layers down to its lowest resolution; only if lambda_feature > 0
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor, nn

from cgt.runtime.models.metadata import Direction
from cgt.trainer.methods.base import Losses, Method
from cgt.trainer.methods.losses import l1_loss

from .config import DistillConfig
from .losses import FeatureAdapter, RandomMotion, perceptual_loss, ssim_loss, temporal_loss, tv_loss
from .qat import (
    activation_ranges,
    batch_norm_statistics,
    observing_ranges,
    prepare_qat,
    set_activation_ranges,
)
from .teacher import Teacher, load_teacher_discriminator


class Distillation(Method):
    """A student, its optional discriminator and feature adapter, and their optimizers."""

    paired = True
    sample_columns = ("x", "T(x)", "S(x)")
    config: DistillConfig
    teacher: Teacher

    def __init__(self, teacher: Teacher, config: DistillConfig, *args: Any) -> None:
        self.teacher = teacher
        super().__init__(config, *args)
        self.student = self.ddp_networks[self.generator_name]
        self.adapter = None
        if config.lambda_feature:
            self.adapter = FeatureAdapter(teacher, self.networks[self.generator_name]).to(
                self.device
            )
            self.ddp_adapter = self.distributed.wrap_ddp(self.adapter)
            self.optimizers["G"].add_param_group({"params": list(self.adapter.parameters())})
        self.int8_active = False

    @property
    def direction(self) -> Direction:
        """The direction that teacher and student translate in."""
        return "AtoB" if self.config.direction == "AtoB" else "BtoA"

    def _build_networks(self) -> tuple[dict[str, nn.Module], dict[str, nn.Module]]:
        side = self.config.direction[0]
        self.generator_name, self.discriminator_name = f"G_{side}", f"D_{side}"
        discriminators = (
            {self.discriminator_name: self._teacher_discriminator()}
            if self.config.lambda_gan
            else {}
        )
        return {self.generator_name: self.create_generator(self.direction)}, discriminators

    def _teacher_discriminator(self) -> nn.Module:
        """Build the discriminator, with the teacher's weights if the configuration matches them."""
        network = self.create_discriminator(3)
        found = load_teacher_discriminator(self.teacher.source.path, self.direction)
        if found and all(getattr(self.config, name) == v for name, v in found.settings.items()):
            network.load_state_dict(found.weights)
        return network

    # ---- Training step ---------------------------------------------------------------------------

    def step(self, a: Tensor, b: Tensor, position: int) -> Losses:
        """Train on one batch; enable INT8 rounding when its first step is reached."""
        network = self.networks[self.generator_name]
        if self.config.is_int8_step(position) and not self.int8_active:
            self._average_over_processes(batch_norm_statistics(network))
            self._enable_int8()
        # Each process observes its own images, and all must round alike.
        ranges = observing_ranges(network) if self.int8_active else []
        losses = super().step(a, b, position)
        self._average_over_processes(ranges)
        return losses

    def _average_over_processes(self, tensors: list[Tensor]) -> None:
        if self.distributed.world_size > 1:
            for tensor in tensors:
                tensor.copy_(self.distributed.mean(tensor))

    def _enable_int8(self) -> None:
        if not self.int8_active:
            self.int8_active = True
            for network in (self.networks[self.generator_name], *self.ema_generators.values()):
                prepare_qat(network)
                network.train(network.training)

    def _no_autocast_in_int8(self) -> contextlib.AbstractContextManager[Any]:
        """Disable autocast in INT8 steps: bf16 would round the simulated INT8 values again."""
        if not self.int8_active:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, enabled=False)

    def generator_losses(self, a: Tensor, b: Tensor) -> tuple[Losses, tuple[Tensor, ...]]:
        """Return the student's losses, and its outputs for the discriminator.

        With a temporal loss, half of the photos (rounded up) are added a second time after a random
        motion. They count in all losses, and their outputs must match those before the motion.

        Args:
            a: photos, N,3,S,S in [-1, 1].
            b: the teacher's outputs for them.
        """
        config, x, y = self.config, a, b
        n, moved_count = len(x), (len(x) + 1) // 2 if self.config.lambda_temporal else 0
        if moved_count:
            motion = RandomMotion.sample()
            x = torch.cat([x, motion.next_frame(x[:moved_count])])
            y = torch.cat([y, motion.shift(y[:moved_count])])
        with self._no_autocast_in_int8():
            s = self.student(x).float()
        losses = {"L1": l1_loss(s, y)}
        if config.lambda_ssim:
            losses["dssim"] = config.lambda_ssim * ssim_loss(s, y)
        if moved_count:
            losses["temporal"] = config.lambda_temporal * temporal_loss(
                s[:moved_count], s[n:], motion
            )
        if self.adapter is not None:
            losses["feature"] = config.lambda_feature * self.ddp_adapter(x)
        if config.lambda_perceptual:
            losses["perceptual"] = config.lambda_perceptual * perceptual_loss(s, y)
        if config.lambda_tv:
            losses["tv"] = config.lambda_tv * tv_loss(s)
        if self.discriminators:
            losses["G"] = config.lambda_gan * self.gan_loss.generator(
                self.networks[self.discriminator_name](s[:n])
            )
        return losses, (s[:n],)

    def discriminator_losses(self, a: Tensor, b: Tensor, generated: tuple[Tensor, ...]) -> Losses:
        """Return the loss of the discriminator between teacher and student outputs."""
        fakes = self.query_pool("B", generated[0])
        return {"D": self.real_fake_loss(self.ddp_networks[self.discriminator_name], b, fakes)}

    # ---- Samples and state -----------------------------------------------------------------------

    def sample(self, a: Tensor, b: Tensor) -> list[Tensor]:
        """Return the photo, the teacher's output and the student's output."""
        x = self.to_device(a)
        with self.eval_generators() as generators:
            return [a, b, generators[self.generator_name](x)]

    def state_dict(self) -> dict[str, Any]:
        """Return the state of a run, including the adapter and the INT8 activation ranges."""
        adapter = self.adapter.state_dict() if self.adapter is not None else {}
        ranges = activation_ranges(self.networks[self.generator_name]) if self.int8_active else {}
        return super().state_dict() | {"distilling": {"adapter": adapter, "rounding": ranges}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        super().load_state_dict(state)
        distilling = state["distilling"]
        if self.adapter is not None:
            self.adapter.load_state_dict(distilling["adapter"])
        if distilling["rounding"]:
            self._enable_int8()
            for network in (
                self.networks[self.generator_name],
                *(m.module for m in self.ema_generators.values()),
            ):
                set_activation_ranges(network, distilling["rounding"])
