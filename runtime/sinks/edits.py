"""How long the tracks of an MP4 file are shown, by its edit lists.

FFmpeg takes the end of the last fragment's pictures for that of the track. Where the last picture
was decoded before others (B-pictures) and these lie in a fragment of their own, that is too early
by a picture or two, which players then leave out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class _Box(NamedTuple):
    """Where a box with a version lies in an index (ISO/IEC 14496-12, 4.2)."""

    begin: int
    end: int
    version: int


def show_all_pictures(index: bytearray) -> None:
    """Lengthen edits that end before their track's last picture. index: a whole moov box, changed
    where it lies; an index that is not as expected stays as it is."""
    movie = _find(index, 8, len(index), b"mvhd")
    if movie is None:
        return
    wide = movie.version == 1
    scale = _read(index, movie.begin + (28 if wide else 20), 4)
    for begin, end in _children(index, 8, len(index), b"trak"):
        shown = _shown(index, begin + 8, end, scale)
        track = _find(index, begin + 8, end, b"tkhd")
        if shown is None or track is None:
            continue
        _raise(index, track.begin + (36 if track.version else 28), 8 if track.version else 4, shown)
        _raise(index, movie.begin + (32 if wide else 24), 8 if wide else 4, shown)


def _shown(index: bytearray, begin: int, end: int, scale: int) -> int | None:
    """Of a track with pictures out of order and an edit at its end: for how long it is shown, in
    movie's units, once that edit reaches the last picture."""
    media = _find(index, begin, end, b"mdia", b"mdhd")
    edits = _find(index, begin, end, b"edts", b"elst")
    table = (b"mdia", b"minf", b"stbl")
    times = _find(index, begin, end, *table, b"stts")
    offsets = _find(index, begin, end, *table, b"ctts")
    if media is None or edits is None or times is None or offsets is None:
        return None
    lasts, moved = _runs(index, times), _runs(index, offsets)
    if lasts.size < 2 or lasts.size != moved.size:
        return None
    before, last = np.sort(np.cumsum(lasts) - lasts + moved)[-2:].tolist()
    units = _read(index, media.begin + (28 if media.version else 20), 4)
    width = 8 if edits.version else 4
    row, count = 2 * width + 4, _read(index, edits.begin + 12, 4)
    at = edits.begin + 16 + row * (count - 1)
    if 0 in (count, units, scale) or at + row > edits.end:
        return None
    from_time = int.from_bytes(index[at + width : at + 2 * width], "big", signed=True)
    if from_time < 0:  # an empty edit
        return None
    if from_time + _read(index, at, width) * units / scale <= last:
        end = 2 * last - before  # as long as the one before it
        _raise(index, at, width, -((from_time - end) * scale // units))
    rows = range(edits.begin + 16, at + row, row)
    return sum(_read(index, row_at, width) for row_at in rows)


def _runs(index: bytearray, box: _Box) -> NDArray[np.int64]:
    """The value of each sample, of a table of counts and values."""
    count = _read(index, box.begin + 12, 4)
    table = np.frombuffer(bytes(index[box.begin + 16 : box.end]), ">i4")[: 2 * count]
    return np.repeat(table[1::2].astype(np.int64), table[::2].clip(0))


def _find(index: bytearray, begin: int, end: int, *path: bytes) -> _Box | None:
    for kind in path:
        found = next(_children(index, begin, end, kind), None)
        if found is None:
            return None
        begin, end = found[0] + 8, found[1]
    return _Box(begin - 8, end, index[begin])


def _children(index: bytearray, begin: int, end: int, kind: bytes) -> Iterator[tuple[int, int]]:
    """(begin, end) of the boxes of that kind between."""
    while begin + 8 <= end:
        size = _read(index, begin, 4)
        if size < 8:
            return
        if index[begin + 4 : begin + 8] == kind:
            yield begin, begin + size
        begin += size


def _read(index: bytearray, at: int, width: int) -> int:
    return int.from_bytes(index[at : at + width], "big")


def _raise(index: bytearray, at: int, width: int, value: int) -> None:
    """To at least that value."""
    if value > _read(index, at, width):
        index[at : at + width] = value.to_bytes(width, "big")
