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


class _FullBox(NamedTuple):
    """Where a box with a version lies in an index (ISO/IEC 14496-12, 4.2)."""

    start: int
    end: int
    version: int


def fix_edit_lists(moov: bytearray) -> None:
    """Lengthen edits that end before their track's last picture. index: a whole moov box, changed
    where it lies; an index that is not as expected stays as it is."""
    movie = _find_box(moov, 8, len(moov), b"mvhd")
    if movie is None:
        return
    is_64_bit = movie.version == 1
    scale = _read_uint(moov, movie.start + (28 if is_64_bit else 20), 4)
    for begin, end in _iter_child_boxes(moov, 8, len(moov), b"trak"):
        duration = _extend_last_edit(moov, begin + 8, end, scale)
        track = _find_box(moov, begin + 8, end, b"tkhd")
        if duration is None or track is None:
            continue
        _raise_uint_to(
            moov, track.start + (36 if track.version else 28), 8 if track.version else 4, duration
        )
        _raise_uint_to(
            moov, movie.start + (32 if is_64_bit else 24), 8 if is_64_bit else 4, duration
        )


def _extend_last_edit(moov: bytearray, begin: int, end: int, scale: int) -> int | None:
    """Of a track with pictures out of order and an edit at its end: for how long it is shown, in
    movie's units, once that edit reaches the last picture."""
    media = _find_box(moov, begin, end, b"mdia", b"mdhd")
    edits = _find_box(moov, begin, end, b"edts", b"elst")
    table = (b"mdia", b"minf", b"stbl")
    times = _find_box(moov, begin, end, *table, b"stts")
    offsets = _find_box(moov, begin, end, *table, b"ctts")
    if media is None or edits is None or times is None or offsets is None:
        return None
    durations, composition_offsets = _expand_runs(moov, times), _expand_runs(moov, offsets)
    if durations.size < 2 or durations.size != composition_offsets.size:
        return None
    before, last = np.sort(np.cumsum(durations) - durations + composition_offsets)[-2:].tolist()
    units = _read_uint(moov, media.start + (28 if media.version else 20), 4)
    width = 8 if edits.version else 4
    row, count = 2 * width + 4, _read_uint(moov, edits.start + 12, 4)
    at = edits.start + 16 + row * (count - 1)
    if 0 in (count, units, scale) or at + row > edits.end:
        return None
    from_time = int.from_bytes(moov[at + width : at + 2 * width], "big", signed=True)
    if from_time < 0:  # an empty edit
        return None
    if from_time + _read_uint(moov, at, width) * units / scale <= last:
        end = 2 * last - before  # as long as the one before it
        _raise_uint_to(moov, at, width, -((from_time - end) * scale // units))
    rows = range(edits.start + 16, at + row, row)
    return sum(_read_uint(moov, row_at, width) for row_at in rows)


def _expand_runs(moov: bytearray, box: _FullBox) -> NDArray[np.int64]:
    """The value of each sample, of a table of counts and values."""
    count = _read_uint(moov, box.start + 12, 4)
    table = np.frombuffer(bytes(moov[box.start + 16 : box.end]), ">i4")[: 2 * count]
    return np.repeat(table[1::2].astype(np.int64), table[::2].clip(0))


def _find_box(moov: bytearray, begin: int, end: int, *path: bytes) -> _FullBox | None:
    for kind in path:
        found = next(_iter_child_boxes(moov, begin, end, kind), None)
        if found is None:
            return None
        begin, end = found[0] + 8, found[1]
    return _FullBox(begin - 8, end, moov[begin])


def _iter_child_boxes(
    moov: bytearray, begin: int, end: int, kind: bytes
) -> Iterator[tuple[int, int]]:
    """(begin, end) of the boxes of that kind between."""
    while begin + 8 <= end:
        size = _read_uint(moov, begin, 4)
        if size < 8:
            return
        if moov[begin + 4 : begin + 8] == kind:
            yield begin, begin + size
        begin += size


def _read_uint(data: bytearray, at: int, width: int) -> int:
    return int.from_bytes(data[at : at + width], "big")


def _raise_uint_to(data: bytearray, at: int, width: int, value: int) -> None:
    """To at least that value."""
    if value > _read_uint(data, at, width):
        data[at : at + width] = value.to_bytes(width, "big")
