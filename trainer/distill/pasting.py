"""Two photos in one view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cgt.runtime.preprocess import F32

from ..views import CropParams


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
