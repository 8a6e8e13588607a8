"""Resizing, random crops and flips of training images, by the C kernels of the runtime."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cgt.runtime.errors import DataError
from cgt.runtime.image.preprocess import F32, U8, pack, resize


@dataclass(frozen=True)
class CropParams:
    """Random parameters of a training crop.

    Attributes:
        y_fraction: Vertical position of the crop in the image, in [0, 1).
        x_fraction: Horizontal position of the crop in the image, in [0, 1).
        flip: Whether to mirror the crop horizontally.
        zoom: Additional enlargement before cropping, at least 1.
    """

    y_fraction: float
    x_fraction: float
    flip: bool
    zoom: float = 1.0

    @classmethod
    def sample(cls, rng: np.random.Generator) -> CropParams:
        """Draw a position and a flip."""
        y_fraction, x_fraction, flip = rng.random(3)
        return cls(float(y_fraction), float(x_fraction), bool(flip < 0.5))

    @property
    def cache_name(self) -> str:
        """Return the text that identifies the crop in keys of stored teacher outputs.

        It has the names of before version 0.1.0, so that older caches stay valid.
        """
        return (
            f"Draw(down={self.y_fraction!r}, right={self.x_fraction!r}, mirror={self.flip!r}, "
            f"zoom={self.zoom!r})"
        )


@dataclass(frozen=True)
class Preprocess:
    """Preprocessing of training images: resize, then crop, then flip.

    The modes differ in the size after resizing:

    resize-and-crop   load_size x load_size whatever the aspect ratio, as in the papers
    crop              unchanged
    scale-width       load_size wide, same aspect ratio
    scale-short       load_size on the short side, same aspect ratio
    shrink-short      as scale-short, but smaller images stay unchanged or get a short side of
                      crop_size
    none              unchanged, and cropped only to a multiple of `multiple`

    The sides of a crop are crop_size, or less if the image is smaller, rounded down to a multiple
    of `multiple`.

    The repr of this class is part of the file names in teacher caches, so its fields keep their
    names.

    Attributes:
        mode: One of the modes above.
        load_size: Side after resizing, in pixels.
        crop_size: Side of the crop, in pixels.
        flip: Whether to flip crops whose parameters ask for it.
        multiple: Number of which the sides of a crop must be multiples.
    """

    mode: str
    load_size: int
    crop_size: int
    flip: bool = True
    multiple: int = 4

    def apply(self, image: U8, crop: CropParams) -> F32:
        """Resize, crop and flip an image.

        Args:
            image: uint8 HWC.
            crop: Position, flip and zoom.

        Returns:
            float32 CHW in [-1, 1].

        Raises:
            DataError: If the image is smaller than `multiple`.
        """
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
        """Return the (height, width) that an image is resized to."""
        load = self.load_size
        if self.mode == "resize-and-crop":
            return load, load
        if self.mode in ("crop", "none"):
            return height, width
        short = min(height, width)
        if self.mode == "shrink-short":
            load = min(load, max(short, self.crop_size))
        factor = load / (width if self.mode == "scale-width" else short)
        return max(1, round(height * factor)), max(1, round(width * factor))

    def _crop_side(self, side: int) -> int:
        crop_side = side if self.mode == "none" else min(side, self.crop_size)
        if crop_side < self.multiple:
            raise DataError(
                f"an image has a side of {crop_side} pixels; the networks need {self.multiple}; "
                "use --preprocess resize-and-crop"
            )
        return crop_side // self.multiple * self.multiple


def squash_square(image: U8, size: int) -> F32:
    """Resize a test image to a square as the runtime does, ignoring its aspect ratio.

    Args:
        image: uint8 HWC.
        size: Side of the square, in pixels.

    Returns:
        float32 1,C,size,size in [-1, 1].
    """
    return pack(image, (size, size))[None]


def center_square(image: U8, size: int) -> F32:
    """Resize the central square of a test image, which keeps the aspect ratio of objects.

    Args:
        image: uint8 HWC.
        size: Side of the result, in pixels.

    Returns:
        float32 1,C,size,size in [-1, 1].
    """
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return squash_square(image[top : top + side, left : left + side], size)
