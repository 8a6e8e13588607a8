"""A number drawn into a picture that travels as video, so that what comes back says which it was.

A strip of STRIP rows below the picture outlives scaling and coding, and needs nothing of a browser;
page/stamp.js is its other half. Its left three quarters hold a number, in the cells of
`cgt.runtime.sources.pattern`: the time of capture in milliseconds, by the clock of who captured it,
modulo 2^20 (17 minutes). The right quarter of what clients send is a chart of four colours, because
browsers do not say which YUV they make of a canvas (Chromium: BT.709, full range).
"""

from __future__ import annotations

import numpy as np

from cgt.runtime.preprocess import U8
from cgt.runtime.sources.pattern import read_counter, write_counter

STRIP = 16
WRAP = 1 << 20
CHART = ((192, 64, 64), (64, 192, 64), (64, 64, 192), (64, 64, 64))  # two above, two below


def stamp_of(seconds: float) -> int:
    """The stamp of a time."""
    return int(seconds * 1000) % WRAP


def stamped(picture: U8, stamp: int) -> U8:
    """uint8 HWC RGB in; out comes a copy that is STRIP rows higher, with a chart."""
    height, width = picture.shape[:2]
    frame = np.empty((height + STRIP, width, 3), np.uint8)
    frame[:height] = picture
    write_counter(frame[:, : _split(width)], stamp, STRIP)
    for where, color in zip(_patches(frame), CHART, strict=True):
        where[...] = color
    return frame


def unstamped(frame: U8) -> tuple[U8, int] | None:
    """The picture (a view) and its stamp; None where there is none to be read."""
    height, width = frame.shape[:2]
    if height <= STRIP or width < STRIP:
        return None
    stamp = read_counter(frame[:, : _split(width)], STRIP)
    return None if stamp is None else (frame[:-STRIP], stamp)


def chart_error(frame: U8) -> float:
    """How far a frame's chart is from its colours: the mean of absolute differences."""
    seen = [where[2:-2, 2:-2].mean((0, 1)) for where in _patches(frame)]
    return float(np.abs(np.array(seen) - CHART).mean())


def _split(width: int) -> int:
    return width * 3 // 4


def _patches(frame: U8) -> list[U8]:
    strip = frame[-STRIP:, _split(frame.shape[1]) :]
    middle = strip.shape[1] // 2
    rows, columns = (
        (slice(0, STRIP // 2), slice(STRIP // 2, STRIP)),
        (slice(0, middle), slice(middle, None)),
    )
    return [strip[row, column] for row in rows for column in columns]
