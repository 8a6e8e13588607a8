"""Synthetic test images for generators."""

from __future__ import annotations

import numpy as np

from cgt.runtime.image.preprocess import F32, U8


def dead_leaves(size: tuple[int, int], random: np.random.Generator) -> U8:
    """Render a dead-leaves image: overlapping shaded discs with radii of density r^-3.

    It has the edges, flat regions and 1/f^2 spectrum of photographs (Lee, Mumford and Huang 2001).

    Args:
        size: (height, width) in pixels.
        random: Random number generator.

    Returns:
        uint8 HWC RGB.
    """
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    largest, smallest = max(size) / 2, 2.0
    image = np.zeros((height, width, 3), np.float32)
    for _ in range(400):
        radius = 1 / np.sqrt(random.uniform(1 / largest**2, 1 / smallest**2))
        cy, cx = random.uniform(0, height), random.uniform(0, width)
        box = tuple(  # of the disc
            slice(max(0, int(center - radius)), int(center + radius) + 2) for center in (cy, cx)
        )
        dy, dx = y[box] - cy, x[box] - cx
        disc = dy**2 + dx**2 < radius**2
        shade = (dy * random.normal() + dx * random.normal()) / largest * 40
        image[box][disc] = (random.uniform(0, 255, 3) + shade[..., None])[disc]
    noisy = image + random.normal(0, 3, image.shape)
    rounded: U8 = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return rounded


def convert_planes(image: F32, channels: int) -> F32:
    """Convert an RGB image to another number of channels.

    Args:
        image: float32 3,H,W in [-1, 1].
        channels: 1 (gray), 2 (red and green), 3 (RGB) or 4 (RGB with opaque alpha).

    Returns:
        float32 channels,H,W in [-1, 1].
    """
    gray: F32 = image.mean(0, keepdims=True, dtype=np.float32)
    return gray if channels == 1 else np.concatenate([image, np.ones_like(gray)])[:channels]
