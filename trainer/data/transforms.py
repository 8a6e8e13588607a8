"""From an image to what a training step sees of it. The C kernels make the pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cgt.runtime.errors import DataError
from cgt.runtime.image.preprocess import F32, U8, pack, resize


@dataclass(frozen=True)
class CropParams:
    """What is random about a view: where it is cut out, in [0, 1), whether it is mirrored, and how
    much larger than Preprocess says it is, at least 1."""

    y_fraction: float
    x_fraction: float
    flip: bool
    zoom: float = 1.0

    @classmethod
    def sample(cls, rng: np.random.Generator) -> CropParams:
        down, right, side = rng.random(3)
        return cls(float(down), float(right), bool(side < 0.5))


@dataclass(frozen=True)
class Preprocess:
    """First the size, then a crop, then a mirror image half of the time.

    resize-and-crop   load_size squared, whatever the aspect; as the papers do
    crop              as it is
    scale-width       load_size wide, aspect kept
    scale-short       load_size on the short side, aspect kept
    shrink-short      the same, but what is smaller stays as it is, or gets crop_size there
    none              as it is, and not cropped but for `multiple`

    A crop has crop_size a side, or what the image has where that is less; never enlarged; always
    a multiple of `multiple`, which the networks need.
    """

    mode: str
    load_size: int
    crop_size: int
    flip: bool = True
    multiple: int = 4

    def apply(self, image: U8, crop: CropParams) -> F32:
        """uint8 HWC -> float32 CHW in [-1, 1]."""
        height, width = self.scaled_size(image.shape[0], image.shape[1])
        size = round(height * crop.zoom), round(width * crop.zoom)
        if size != image.shape[:2]:
            image = resize(image, size)
        height, width = (self._crop_side(side) for side in size)
        top = int(crop.y_fraction * (size[0] - height + 1))
        left = int(crop.x_fraction * (size[1] - width + 1))
        tensor = pack(image[top : top + height, left : left + width])
        return tensor[:, :, ::-1] if self.flip and crop.flip else tensor

    def scaled_size(self, height: int, width: int) -> tuple[int, int]:
        """What an image of (height, width) is resized to."""
        load = self.load_size
        if self.mode == "resize-and-crop":
            return load, load
        if self.mode in ("crop", "none"):
            return height, width
        short = min(height, width)
        if self.mode == "shrink-short":
            load = min(load, max(short, self.crop_size))
        by = load / (width if self.mode == "scale-width" else short)
        return max(1, round(height * by)), max(1, round(width * by))

    def _crop_side(self, side: int) -> int:
        crop_side = side if self.mode == "none" else min(side, self.crop_size)
        if crop_side < self.multiple:
            raise DataError(
                f"an image has a side of {crop_side} pixels; the networks need {self.multiple}: "
                "use --preprocess resize-and-crop"
            )
        return crop_side // self.multiple * self.multiple


def squash_square(image: U8, size: int) -> F32:
    """1,C,size,size float32 in [-1, 1]: a test image as the runtime would prepare it."""
    return pack(image, (size, size))[None]


def center_square(image: U8, size: int) -> F32:
    """1,C,size,size: the square in the middle of an image, for what keeps its aspect."""
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return squash_square(image[top : top + side, left : left + side], size)
