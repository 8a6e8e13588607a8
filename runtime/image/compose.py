"""What of a frame and its translation is shown.

Pictures side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from .preprocess import U8, resize

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


ViewMode = Literal["translated", "original", "split", "side-by-side"]
VIEW_MODES: tuple[ViewMode, ...] = get_args(ViewMode)

_DIVIDER_PX = 2  # pixels of white where the halves of a split picture meet


def view_output_size(size: tuple[int, int], view: ViewMode) -> tuple[int, int]:
    """(height, width) of what `compose` gives for a translation of that size."""
    return (size[0], 2 * size[1]) if view == "side-by-side" else size


def compose_view(original: U8, translation: U8, view: ViewMode) -> U8:
    """uint8 HWC RGB. The original is scaled to the translation's size; it is left, and in a split
    picture the left half."""
    if view == "translated":
        return translation
    height, width = translation.shape[:2]
    scaled_original = original
    if original.shape != translation.shape:
        scaled_original = resize(original, (height, width))
    if view == "original":
        return scaled_original
    if view == "side-by-side":
        return np.hstack((scaled_original, translation))
    combined = translation.copy()
    combined[:, : width // 2] = scaled_original[:, : width // 2]
    combined[:, max(0, width // 2 - _DIVIDER_PX // 2) : width // 2 + _DIVIDER_PX // 2] = 255
    return combined
