"""Timestamp strip: a number drawn below a video frame, which matches translations to originals.

The strip has STRIP_HEIGHT_PX rows below the image. It survives scaling and video coding, and needs
no support from the browser. serve/page/js/media/timestamp.js reads and writes the same strip.

Its left three quarters hold a number in the cells of `cgt.runtime.sources.test_pattern`: the
capture time in milliseconds, by the clock of the capturing side, modulo 2^20 (17 minutes). Its
right quarter is a chart of four colors, because browsers do not report which YUV conversion they
apply to a canvas (Chromium: BT.709, full range); see `color_detection`.
"""

from __future__ import annotations

import numpy as np

from cgt.runtime.image.preprocess import U8
from cgt.runtime.sources.test_pattern import read_counter, write_counter

STRIP_HEIGHT_PX = 16
TIMESTAMP_PERIOD_MS = 1 << 20
COLOR_CHART = ((192, 64, 64), (64, 192, 64), (64, 64, 192), (64, 64, 64))  # two above, two below


def to_timestamp(seconds: float) -> int:
    """Return the timestamp of a time in seconds."""
    return int(seconds * 1000) % TIMESTAMP_PERIOD_MS


def embed_timestamp(image: U8, timestamp: int) -> U8:
    """Return a copy of an image (uint8 HWC RGB) with the strip, STRIP_HEIGHT_PX rows higher."""
    height, width = image.shape[:2]
    frame = np.empty((height + STRIP_HEIGHT_PX, width, 3), np.uint8)
    frame[:height] = image
    write_counter(frame[:, : _number_width(width)], timestamp, STRIP_HEIGHT_PX)
    for patch, color in zip(_chart_patches(frame), COLOR_CHART, strict=True):
        patch[...] = color
    return frame


def extract_timestamp(frame: U8) -> tuple[U8, int] | None:
    """Return the image without the strip (a view) and its timestamp; None without a valid strip."""
    height, width = frame.shape[:2]
    if height <= STRIP_HEIGHT_PX or width < STRIP_HEIGHT_PX:
        return None
    timestamp = read_counter(frame[:, : _number_width(width)], STRIP_HEIGHT_PX)
    return None if timestamp is None else (frame[:-STRIP_HEIGHT_PX], timestamp)


def color_chart_error(frame: U8) -> float:
    """Return the mean absolute difference of a frame's color chart from COLOR_CHART."""
    mean_colors = [patch[2:-2, 2:-2].mean((0, 1)) for patch in _chart_patches(frame)]
    return float(np.abs(np.array(mean_colors) - COLOR_CHART).mean())


def _number_width(width: int) -> int:
    return width * 3 // 4


def _chart_patches(frame: U8) -> list[U8]:
    strip = frame[-STRIP_HEIGHT_PX:, _number_width(frame.shape[1]) :]
    middle = strip.shape[1] // 2
    rows, columns = (
        (slice(0, STRIP_HEIGHT_PX // 2), slice(STRIP_HEIGHT_PX // 2, STRIP_HEIGHT_PX)),
        (slice(0, middle), slice(middle, None)),
    )
    return [strip[row, column] for row in rows for column in columns]
