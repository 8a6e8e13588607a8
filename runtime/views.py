"""What of a frame and its translation is shown."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from .preprocess import U8, resize

View = Literal["translated", "original", "split", "side-by-side"]
VIEWS: tuple[View, ...] = get_args(View)

_LINE = 2  # pixels of white where the halves of a split picture meet


def view_size(size: tuple[int, int], view: View) -> tuple[int, int]:
    """(height, width) of what `compose` gives for a translation of that size."""
    return (size[0], 2 * size[1]) if view == "side-by-side" else size


def compose(original: U8, translation: U8, view: View) -> U8:
    """uint8 HWC RGB. The original is scaled to the translation's size; it is left, and in a split
    picture the left half."""
    if view == "translated":
        return translation
    height, width = translation.shape[:2]
    before = original
    if original.shape != translation.shape:
        before = resize(original, (height, width))
    if view == "original":
        return before
    if view == "side-by-side":
        return np.hstack((before, translation))
    picture = translation.copy()
    picture[:, : width // 2] = before[:, : width // 2]
    picture[:, max(0, width // 2 - _LINE // 2) : width // 2 + _LINE // 2] = 255
    return picture
