"""Augmentations of distillation photos: color jitter, CutMix and a test for blank images.

`cache_name` of an augmentation is part of the key of a cached teacher output (see teacher.py). Its
spelling is older than version 0.1.0 and must not change, so that cached outputs stay valid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cgt.runtime.image.preprocess import F32
from cgt.trainer.data.transforms import CropParams

MIN_CHANNEL_STD = 0.01  # standard deviation of a channel with values in [-1, 1]


def is_not_blank(image: F32) -> bool:
    """Return whether an image has content.

    An InstanceNorm scales the rounding errors of a blank image up by a factor of 300, so the same
    teacher produces other outputs for it in another precision.

    Args:
        image: float32 3,H,W in [-1, 1].
    """
    return bool(image.std((1, 2)).max() > MIN_CHANNEL_STD)


@dataclass(frozen=True)
class CutMix:
    """Another photo pasted over one side of a crop (Yun et al. 2019).

    The outputs of many teachers depend on the whole image. Two photos in one crop provide more
    combinations of real colors than one photo.

    Attributes:
        other_index: index of the pasted photo.
        crop: crop of the pasted photo.
        from_below: whether it covers the crop from below, otherwise from the right.
        covered_share: covered share of the crop, in [0.2, 0.8).
    """

    other_index: int
    crop: CropParams
    from_below: bool
    covered_share: float

    @classmethod
    def sample(cls, random: np.random.Generator, photo_count: int, crop: CropParams) -> CutMix:
        """Draw the pasted photo, the side and the share at random."""
        other = int(random.integers(photo_count))
        side, share = random.random(2)
        return cls(other, crop, bool(side < 0.5), float(0.2 + 0.6 * share))

    def apply(self, image: F32, pasted: F32) -> F32:
        """Return `image` with one side covered by `pasted`; both are 3,H,W."""
        axis = 1 if self.from_below else 2
        first = round(image.shape[axis] * (1 - self.covered_share))
        under, upper = np.split(image, [first], axis)[0], np.split(pasted, [first], axis)[1]
        mixed: F32 = np.concatenate([under, upper], axis)
        return mixed

    @property
    def cache_name(self) -> str:
        """The text that identifies this augmentation in the keys of cached teacher outputs."""
        return (
            f"Paste(other={self.other_index!r}, draw={self.crop.cache_name}, "
            f"below={self.from_below!r}, share={self.covered_share!r})"
        )


DARK_SHARE = 0.2  # share of nearly black images
MAX_COLOR_CAST = 1.5  # largest factor by which a color cast scales a channel
_LUMA_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)[:, None, None]


@dataclass(frozen=True)
class ColorJitter:
    """Random color changes as videos have them; every factor is log-uniform.

    Attributes:
        gains: factors of red, green and blue. The brightness is 0.45 to 1.4, or 0.03 to 0.45 for
            one image in five, because videos fade from black. Each channel is also scaled by
            1 / cast to cast, where cast is 1 to 1.5: most videos have a weak cast, few a strong
            one.
        saturation: 0.4 to 1.5.
        contrast: 0.6 to 1.4, around the mean.
    """

    gains: tuple[float, float, float]
    saturation: float
    contrast: float

    @classmethod
    def sample(cls, random: np.random.Generator) -> ColorJitter:
        """Draw all factors at random."""

        def log_uniform(low: float, high: float) -> float:
            return float(np.exp(random.uniform(np.log(low), np.log(high))))

        is_dark = random.random() < DARK_SHARE
        brightness = log_uniform(0.03, 0.45) if is_dark else log_uniform(0.45, 1.4)
        cast = random.uniform(0, np.log(MAX_COLOR_CAST))
        red, green, blue = (
            brightness * float(np.exp(random.uniform(-cast, cast))) for _ in range(3)
        )
        return cls((red, green, blue), log_uniform(0.4, 1.5), log_uniform(0.6, 1.4))

    def apply(self, image: F32) -> F32:
        """Return a 3,H,W image in [-1, 1] with changed colors, clipped and rounded to 8 bits."""
        x = (image + 1) / 2
        gray = (_LUMA_WEIGHTS * x).sum(0, keepdims=True)
        x = gray + self.saturation * (x - gray)
        x = x.mean() + self.contrast * (x - x.mean())
        x = x * np.array(self.gains, np.float32)[:, None, None]
        jittered: F32 = (np.round(x.clip(0, 1) * 255) / 127.5 - 1).astype(np.float32)
        return jittered

    @property
    def cache_name(self) -> str:
        """The text that identifies this augmentation in the keys of cached teacher outputs."""
        return (
            f"Colours(gains={self.gains!r}, saturation={self.saturation!r}, "
            f"contrast={self.contrast!r})"
        )
