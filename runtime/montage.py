"""Pictures side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .preprocess import U8

GAP_PX = 4  # pixels of white between tiles


def make_grid(rows: Sequence[Sequence[U8]]) -> U8:
    """uint8 HWC: tiles of equal size in a grid, white between them."""
    height, width, channels = rows[0][0].shape
    shape = (
        len(rows) * (height + GAP_PX) - GAP_PX,
        len(rows[0]) * (width + GAP_PX) - GAP_PX,
        channels,
    )
    canvas = np.full(shape, 255, np.uint8)
    for r, row in enumerate(rows):
        for c, tile in enumerate(row):
            y, x = r * (height + GAP_PX), c * (width + GAP_PX)
            canvas[y : y + height, x : x + width] = tile
    return canvas
