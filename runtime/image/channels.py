"""Channels of images: 1 is gray, 3 is RGB, 4 is RGB with alpha (not multiplied by it).

Training and serving share these functions, so that a network sees the same gray in both.
"""

from __future__ import annotations

import numpy as np

from .color import WHITE, Color, composite
from .opencv import cv2
from .preprocess import U8


def convert_channels(image: U8, channels: int) -> U8:
    """Convert an image to the channels that a network takes.

    Gray is the luma of BT.601, 0.299 R + 0.587 G + 0.114 B, as OpenCV and Pillow compute it. An
    image without alpha becomes opaque. Alpha is dropped, not composited.

    Args:
        image: uint8 HWC with 1, 3 or 4 channels.
        channels: 1, 3 or 4.

    Returns:
        `image` itself or a new array, uint8 (height, width, channels).
    """
    present = image.shape[2]
    if present == channels:
        return image
    if present == 1:
        rgb = np.repeat(image, 3, axis=2)
        return rgb if channels == 3 else convert_channels(rgb, channels)
    if channels == 1:
        rgb = np.ascontiguousarray(image[..., :3])
        return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)[..., None]
    if channels == 3:
        return np.ascontiguousarray(image[..., :3])
    return np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])


def to_rgb(image: U8, background: Color = WHITE) -> U8:
    """Return the image as RGB: gray in three equal channels, alpha composited on a background.

    Args:
        image: uint8 HWC with 1, 3 or 4 channels.
        background: the color behind transparent pixels.

    Returns:
        `image` itself or a new array, uint8 HWC RGB.
    """
    if image.shape[2] == 4:
        return composite(image[..., :3], image[..., 3], background)
    return convert_channels(image, 3)
