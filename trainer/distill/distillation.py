"""One step of a student.

T : X -> Y     the teacher, frozen (teacher.py); its answers come with the data
S : X -> Y     the student, "G_A", or "G_B" where the teacher translates B to A
D              tells T(x) from S(x); only with a lambda_gan
E              the teacher's layers down to its lowest resolution; only with a lambda_feature
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor, nn

from cgt.runtime.artifact import Direction

from ..losses import l1_loss
from ..method import Losses, Method
from .adapter import Adapter
from .config import DistillConfig
from .judge import judge_of
from .losses import Move, perceptual_loss, ssim_loss, temporal_loss, tv_loss
from .quantising import quantise, set_thresholds, thresholds
from .teacher import Teacher


class Distillation(Method):
    """A student, and what it learns with."""

    paired = True
    columns = ("x", "T(x)", "S(x)")
    config: DistillConfig
    teacher: Teacher

    def __init__(self, teacher: Teacher, config: DistillConfig, *args: Any) -> None:
        self.teacher = teacher
        super().__init__(config, *args)
        self.student = self.synced[self.name]
        self.adapter = None
        if config.lambda_feature:
            self.adapter = Adapter(teacher, self.networks[self.name]).to(self.device)
            self.optimizers["G"].add_param_group({"params": list(self.adapter.parameters())})
        self.rounds = False

    @property
    def direction(self) -> Direction:
        return "AtoB" if self.config.direction == "AtoB" else "BtoA"

    def _build(self) -> tuple[dict[str, nn.Module], dict[str, nn.Module]]:
        side = self.config.direction[0]
        self.name, self.judge = f"G_{side}", f"D_{side}"
        judges = {self.judge: self._judge()} if self.config.lambda_gan else {}
        return {self.name: self.new_generator(self.direction)}, judges

    def _judge(self) -> nn.Module:
        """The teacher's own discriminator, where there is one and it is what is described."""
        network = self.new_judge(3)
        known = judge_of(self.teacher.source.path, self.direction)
        if known and all(getattr(self.config, name) == v for name, v in known.settings.items()):
            network.load_state_dict(known.weights)
        return network

    # ---- A step ----------------------------------------------------------------------------------

    def step(self, a: Tensor, b: Tensor, position: int) -> Losses:
        if self.config.rounds_at(position):
            self._round()
        return super().step(a, b, position)

    def _round(self) -> None:
        """INT8 from here on."""
        if not self.rounds:
            self.rounds = True
            for network in (self.networks[self.name], *self.averages.values()):
                quantise(network)
                network.train(network.training)

    def _exact(self) -> contextlib.AbstractContextManager[Any]:
        """What is rounded to INT8's 8 bits is not rounded to bf16's as well."""
        if not self.rounds:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, enabled=False)

    def learn_generators(self, a: Tensor, b: Tensor) -> tuple[Losses, tuple[Tensor, ...]]:
        """a: N photos. b: the teacher's answers. Half of the photos, rounded up, are seen a second
        time, moved: they teach as the others do, and must be answered as they were."""
        config, x, y = self.config, a, b
        n, moved = len(x), (len(x) + 1) // 2 if self.config.lambda_temporal else 0
        if moved:
            move = Move.draw()
            x = torch.cat([x, move.frame(x[:moved])])
            y = torch.cat([y, move.picture(y[:moved])])
        with self._exact():
            s = self.student(x).float()
        losses = {"L1": l1_loss(s, y)}
        if config.lambda_ssim:
            losses["dssim"] = config.lambda_ssim * ssim_loss(s, y)
        if moved:
            losses["temporal"] = config.lambda_temporal * temporal_loss(s[:moved], s[n:], move)
        if self.adapter is not None:
            losses["feature"] = config.lambda_feature * self.adapter.loss(x)
        if config.lambda_perceptual:
            losses["perceptual"] = config.lambda_perceptual * perceptual_loss(s, y)
        if config.lambda_tv:
            losses["tv"] = config.lambda_tv * tv_loss(s)
        if self.judges:
            losses["G"] = config.lambda_gan * self.gan.fool(self.networks[self.judge](s[:n]))
        return losses, (s[:n],)

    def learn_judges(self, a: Tensor, b: Tensor, made: tuple[Tensor, ...]) -> Losses:
        fakes = self.from_pool("B", made[0])
        return {"D": self.discriminator_loss(self.synced[self.judge], b, fakes)}

    # ---- Using what was learned ------------------------------------------------------------------

    def sample(self, a: Tensor, b: Tensor) -> list[Tensor]:
        x = self.to_device(a)
        with self.at_rest() as shown:
            return [a, b, shown[self.name](x)]

    def state_dict(self) -> dict[str, Any]:
        adapter = self.adapter.state_dict() if self.adapter is not None else {}
        rounding = thresholds(self.networks[self.name]) if self.rounds else {}
        return super().state_dict() | {"distilling": {"adapter": adapter, "rounding": rounding}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        own = state["distilling"]
        if self.adapter is not None:
            self.adapter.load_state_dict(own["adapter"])
        if own["rounding"]:
            self._round()
            for network in (self.networks[self.name], *(m.module for m in self.averages.values())):
                set_thresholds(network, own["rounding"])
