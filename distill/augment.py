"""Photos in other colours, as films have them.

Which pictures show anything.

Two photos in one view.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cgt.runtime.image.preprocess import F32
from cgt.trainer.data.transforms import CropParams

MIN_CHANNEL_STD = 0.01  # deviation of a channel, of values in [-1, 1]


def is_not_blank(view: F32) -> bool:
    """3,H,W in [-1, 1]. An InstanceNorm makes of any other picture whatever rounding left, 300
    times as large: the same teacher gives other answers to it in another precision."""
    return bool(view.std((1, 2)).max() > MIN_CHANNEL_STD)


@dataclass(frozen=True)
class CutMix:
    """Which photo lies over a view, how it is cut out, and how much of the view it covers: from
    the right, or from below. As in CutMix (Yun et al. 2019), for what depends on all of a picture:
    from two photos there are more tones, and all of them of real things, than from one."""

    other_index: int
    crop: CropParams
    from_below: bool
    covered_share: float  # in [0.2, 0.8)

    @classmethod
    def sample(cls, random: np.random.Generator, photo_count: int, crop: CropParams) -> CutMix:
        other = int(random.integers(photo_count))
        side, share = random.random(2)
        return cls(other, crop, bool(side < 0.5), float(0.2 + 0.6 * share))

    def apply(self, view: F32, over: F32) -> F32:
        """3,H,W twice -> the same."""
        axis = 1 if self.from_below else 2
        first = round(view.shape[axis] * (1 - self.covered_share))
        under, upper = np.split(view, [first], axis)[0], np.split(over, [first], axis)[1]
        mixed: F32 = np.concatenate([under, upper], axis)
        return mixed


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
