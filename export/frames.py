"""Pictures to compare on: real ones where there are some, else ones with the statistics of real."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cgt.runtime.images import list_images, read_image
from cgt.runtime.preprocess import F32, U8, Filter, pack

COUNT = 8


def sample_frames(
    folder: Path | None, size: tuple[int, int], filter: Filter
) -> tuple[list[F32], str]:
    """COUNT tensors, float32 3,H,W in [-1, 1], and where they come from.

    folder: images spread evenly over it are taken; None or an empty one gives dead leaves.
    """
    files = list_images(folder) if folder is not None and folder.is_dir() else []
    images = [read_image(path) for path in files[:: max(1, len(files) // COUNT)][:COUNT]]
    readable = [image for image in images if image is not None]
    if readable:
        return [pack(image, size, filter) for image in readable], f"images of {folder}"
    leaves = [dead_leaves(size, np.random.default_rng(seed)) for seed in range(COUNT)]
    return [pack(image) for image in leaves], "synthetic pictures (dead leaves)"


def dead_leaves(size: tuple[int, int], random: np.random.Generator) -> U8:
    """uint8 HWC: overlapping shaded discs with radii of density r^-3, which gives the edges,
    flat parts and 1/f^2 spectrum of photographs (Lee, Mumford and Huang 2001)."""
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    largest, smallest = max(size) / 2, 2.0
    image = np.zeros((height, width, 3), np.float32)
    for _ in range(400):
        radius = 1 / np.sqrt(random.uniform(1 / largest**2, 1 / smallest**2))
        cy, cx = random.uniform(0, height), random.uniform(0, width)
        disc = (y - cy) ** 2 + (x - cx) ** 2 < radius**2
        shade = ((y - cy) * random.normal() + (x - cx) * random.normal()) / largest * 40
        image[disc] = (random.uniform(0, 255, 3) + shade[..., None])[disc]
    noisy = image + random.normal(0, 3, image.shape)
    rounded: U8 = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return rounded
