"""Pictures to compare on: real ones where there are some, else ones with the statistics of real."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cgt.runtime.images import list_images, read_image
from cgt.runtime.preprocess import F32, Filter, pack
from cgt.trainer.pictures import dead_leaves

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
