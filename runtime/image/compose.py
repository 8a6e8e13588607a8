"""Composition of images: grids, and views of a frame with its translation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from .preprocess import U8, resize

GAP_PX = 4
"""Width of the white lines between the tiles of a grid."""

ViewMode = Literal["translated", "original", "split", "side-by-side"]
VIEW_MODES: tuple[ViewMode, ...] = get_args(ViewMode)

_DIVIDER_PX = 2  # white line between the halves of a split view


def make_grid(rows: Sequence[Sequence[U8]]) -> U8:
    """Arrange uint8 HWC images of equal size in a grid, with white lines between them."""
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


def view_output_size(size: tuple[int, int], view: ViewMode) -> tuple[int, int]:
    """Return the (height, width) of a view for a translation of this size."""
    return (size[0], 2 * size[1]) if view == "side-by-side" else size


def compose_view(original: U8, translation: U8, view: ViewMode) -> U8:
    """Compose a frame and its translation, both uint8 HWC RGB, into one image.

    The original is resized to the size of the translation. It is on the left side, and the left
    half of a split view.
    """
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
