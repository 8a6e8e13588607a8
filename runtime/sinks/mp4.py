"""The boxes of an MP4 file: the index moved to the front, an unfinished file cut clean.

ISO/IEC 14496-12: a box is its length (32 bits, or 64 after a length of 1), four letters, content.

How long the tracks of an MP4 file are shown, by its edit lists.

FFmpeg takes the end of the last fragment's pictures for that of the track. Where the last picture
was decoded before others (B-pictures) and these lie in a fragment of their own, that is too early
by a picture or two, which players then leave out.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

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


_CONTAINER_BOXES = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}


def iter_boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """(letters, begin, end) of the outermost boxes; the last may end behind the file."""
    start, length = 0, os.fstat(file.fileno()).st_size
    while start + 8 <= length:
        file.seek(start)
        head = file.read(16)
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        end = start + size if size >= 8 else length
        yield head[4:8], start, end
        start = end


def copy_with_faststart(path: Path, target: Path) -> bool:
    """Copy a finished file so that it plays while it loads, and to its last picture. False where
    it does already, or is longer than its index can say; target is then not to be used. Raises
    OSError."""
    with open(path, "rb") as file, open(target, "wb") as out:
        found = {kind: (begin, end) for kind, begin, end in iter_boxes(file)}
        if b"moov" not in found or b"mdat" not in found or found[b"moov"] < found[b"mdat"]:
            return False
        mdat_start = found[b"mdat"][0]
        begin, end = found[b"moov"]
        file.seek(begin)
        moov = bytearray(file.read(end - begin))
        if not _shift_chunk_offsets(moov, 8, len(moov), len(moov)):
            return False
        fix_edit_lists(moov)
        file.seek(0)
        out.write(file.read(mdat_start))
        out.write(moov)
        shutil.copyfileobj(_LimitedReader(file, begin - mdat_start), out, 1 << 20)
        file.seek(end)
        shutil.copyfileobj(file, out)
    return True


class _LimitedReader:
    """At most so many bytes of a file."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file, self._remaining = file, limit

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(self._remaining if size < 0 else min(size, self._remaining))
        self._remaining -= len(data)
        return data


def _shift_chunk_offsets(moov: bytearray, begin: int, end: int, delta: int) -> bool:
    """Adds to all chunk offsets inside; False where one leaves its 32 bits."""
    while begin + 8 <= end:
        size = int.from_bytes(moov[begin : begin + 4], "big")
        kind = bytes(moov[begin + 4 : begin + 8])
        if size < 8:
            return False
        if kind in _CONTAINER_BOXES:
            if not _shift_chunk_offsets(moov, begin + 8, begin + size, delta):
                return False
        elif kind in (b"stco", b"co64"):
            width = 4 if kind == b"stco" else 8
            count = int.from_bytes(moov[begin + 12 : begin + 16], "big")
            for at in range(begin + 16, begin + 16 + count * width, width):
                offset = int.from_bytes(moov[at : at + width], "big") + delta
                if offset >> (8 * width):
                    return False
                moov[at : at + width] = offset.to_bytes(width, "big")
        begin += size
    return True


def truncate_to_last_fragment(path: Path) -> None:
    """Drop the piece of a fragment at the end of a file whose writing was interrupted."""
    with open(path, "r+b") as file:
        length = os.fstat(file.fileno()).st_size
        complete_end = 0
        for kind, begin, end in iter_boxes(file):
            if end > length:
                break
            if kind != b"moof":  # which counts together with the data behind it
                complete_end = end
            del begin
        file.truncate(complete_end)
