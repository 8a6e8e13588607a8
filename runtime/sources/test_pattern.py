"""Moving test pattern with a frame counter that both people and programs can read."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from functools import partial

import numpy as np

from ..errors import UsageError
from ..image.opencv import cv2
from ..image.preprocess import U8
from ..utils.uri import Uri
from .base import Frame, Packet, Source

_COUNTER_BITS, _COUNTER_COLUMNS = 20, 12  # two rows of cells: black, white, 20 bits, 2 of checksum


class PatternSource(Source):
    """Source of `test://?size=1280x720&fps=30&frames=300`; endless without `frames`.

    Args:
        uri: The parsed URI.

    Raises:
        UsageError: A parameter is invalid or unknown.
    """

    rate: Fraction
    size: tuple[int, int]

    def __init__(self, uri: Uri) -> None:
        uri.check_parameters(("size", "fps", "frames", "live"))
        self.name = uri.text
        self.size = uri.get_size() or (720, 1280)
        if min(self.size) < 32:
            raise UsageError(f"{uri.text}: a test pattern needs at least 32x32 pixels")
        self.rate = uri.get_frame_rate() or Fraction(30)
        self.time_base = 1 / self.rate
        self.frame_count = uri.get_int("frames")
        self._background = _make_background(*self.size)

    def __iter__(self) -> Iterator[Frame | Packet]:
        numbers = itertools.count() if self.frame_count is None else range(self.frame_count)
        for number in numbers:
            yield Frame(partial(self.draw_frame, number), number / self.rate)

    def draw_frame(self, number: int) -> U8:
        """Draw frame `number`, uint8 HWC RGB; the pixels depend on nothing else."""
        height, width = self.size
        left = number * 4 % width
        image = self._background[:, left : left + width].copy()
        seconds = float(number / self.rate)
        center = (
            int(width * (0.5 + 0.4 * np.sin(seconds))),
            int(height * (0.45 + 0.3 * np.cos(1.7 * seconds))),
        )
        cv2.circle(image, center, height // 8, (255, 255, 255), -1, cv2.LINE_AA)
        scale = height / 240
        text_origin = (width // 32, int(height * 0.15))
        for color, thickness in (((0, 0, 0), 6), ((255, 255, 255), 2)):
            line = max(1, round(thickness * scale))
            cv2.putText(
                image, f"{number:06d}", text_origin, cv2.FONT_HERSHEY_SIMPLEX, scale, color, line
            )
        write_counter(image, number)
        return image

    def close(self) -> None:
        pass


def _make_background(height: int, width: int) -> U8:
    """Draw a periodic background of twice the width, from which every frame takes a window."""
    x = np.arange(2 * width) * (2 * np.pi / width)
    y = np.linspace(0, 1, height)[:, None]
    waves = (np.sin(x) * (1 - y) + y, np.sin(2 * x + 2) * y, np.cos(x + 4 * y))
    return np.stack(
        [127.5 + 100 * np.broadcast_to(w, (height, 2 * width)) for w in waves], -1
    ).astype(np.uint8)


def _counter_cells(image: U8, band_height: int | None) -> Iterator[tuple[slice, slice]]:
    """Yield the 24 cells of the counter in the lowest rows: `band_height`, by default an eighth."""
    height, width = image.shape[:2]
    band_height = height // 8 if band_height is None else band_height
    rows = np.linspace(height - band_height, height, 3).round().astype(int)
    columns = np.linspace(0, width, _COUNTER_COLUMNS + 1).round().astype(int)
    for top, bottom in itertools.pairwise(rows):
        for left, right in itertools.pairwise(columns):
            yield slice(top, bottom), slice(left, right)


def write_counter(image: U8, number: int, band_height: int | None = None) -> None:
    """Draw a frame counter into an image in place: black cells are 0, white cells are 1.

    Args:
        image: uint8 HWC RGB.
        number: The number to draw, modulo 2^20.
        band_height: The height of the counter in pixels; by default an eighth of the image.
    """
    number %= 1 << _COUNTER_BITS
    bits = [number >> i & 1 for i in range(_COUNTER_BITS)]
    check = sum(bits) % 4
    for cell, bit in zip(
        _counter_cells(image, band_height), (0, 1, *bits, check & 1, check >> 1), strict=True
    ):
        image[cell] = 255 * bit


def read_counter(image: U8, band_height: int | None = None) -> int | None:
    """Read the number that `write_counter` drew.

    It survives scaling, video coding and any recoloring that keeps white lighter than black.

    Args:
        image: uint8 HWC RGB.
        band_height: The height of the counter in pixels; by default an eighth of the image.

    Returns:
        The number, or None if no valid counter is visible.
    """
    values = []
    for rows, columns in _counter_cells(image, band_height):
        cell = image[rows, columns]
        dy, dx = cell.shape[0] // 4, cell.shape[1] // 4  # the center, clear of the neighbors
        values.append(float(cell[dy : cell.shape[0] - dy, dx : cell.shape[1] - dx].mean()))
    black, white = values[:2]
    if white - black < 32:
        return None
    bits = [value > (black + white) / 2 for value in values[2:]]
    if sum(bits[:_COUNTER_BITS]) % 4 != bits[_COUNTER_BITS] + 2 * bits[_COUNTER_BITS + 1]:
        return None
    return sum(bit << i for i, bit in enumerate(bits[:_COUNTER_BITS]))
