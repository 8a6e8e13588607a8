"""Learning rate schedules: linear, step and cosine decay."""

from __future__ import annotations

import math
from dataclasses import dataclass

LR_SCHEDULES = ("linear", "step", "cosine")
STEP_GAMMA = 0.1


@dataclass(frozen=True)
class LRSchedule:
    """Learning rate schedule in epochs or in steps.

    linear   1 for `hold`, then linear decay towards 0 over `decay` (Zhu et al. 2017)
    cosine   1 for `hold`, then half a cosine to 0 over `decay` (Loshchilov and Hutter 2017)
    step     multiplied by STEP_GAMMA after every `step_size`
    """

    kind: str
    hold: int
    decay: int
    step_size: int = 50

    def factor(self, position: int) -> float:
        """Return the factor of the learning rate, in (0, 1], at a position counted from 0."""
        if self.kind == "step":
            return float(STEP_GAMMA ** (position // self.step_size))
        progress = max(0, position + 1 - self.hold) / (self.decay + 1)
        return (1 + math.cos(math.pi * progress)) / 2 if self.kind == "cosine" else 1.0 - progress
