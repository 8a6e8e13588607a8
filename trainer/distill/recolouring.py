"""Photos in other colours, as films have them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cgt.runtime.preprocess import F32

DARK_SHARE = 0.2  # share of the nearly black
MAX_COLOR_CAST = 1.5  # most that a channel is scaled
_LUMA_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)[:, None, None]


@dataclass(frozen=True)
class ColorJitter:
    """What is random about a recoloured view; each factor is even in its logarithm.

    gains       0.45 to 1.4 times as bright, one in five 0.03 to 0.45 (films fade from black);
                each of red, green, blue 1 / cast to cast of that, cast 1 to 1.5: most films have a
                weak one, few a strong one
    saturation  0.4 to 1.5
    contrast    0.6 to 1.4, about the mean
    """

    gains: tuple[float, float, float]
    saturation: float
    contrast: float

    @classmethod
    def sample(cls, random: np.random.Generator) -> ColorJitter:
        def between(low: float, high: float) -> float:
            return float(np.exp(random.uniform(np.log(low), np.log(high))))

        light = between(0.03, 0.45) if random.random() < DARK_SHARE else between(0.45, 1.4)
        cast = random.uniform(0, np.log(MAX_COLOR_CAST))
        red, green, blue = (light * float(np.exp(random.uniform(-cast, cast))) for _ in range(3))
        return cls((red, green, blue), between(0.4, 1.5), between(0.6, 1.4))

    def apply(self, view: F32) -> F32:
        """3,H,W in [-1, 1] -> the same, clipped, in the 256 steps that an image has."""
        x = (view + 1) / 2
        gray = (_LUMA_WEIGHTS * x).sum(0, keepdims=True)
        x = gray + self.saturation * (x - gray)
        x = x.mean() + self.contrast * (x - x.mean())
        x = x * np.array(self.gains, np.float32)[:, None, None]
        jittered: F32 = (np.round(x.clip(0, 1) * 255) / 127.5 - 1).astype(np.float32)
        return jittered
