"""MP4 post-processing: faststart, edit list repair and truncation to the last whole fragment.

Boxes are those of ISO/IEC 14496-12: a size (32 bits, or 64 bits after a size of 1), a type of four
letters, and the content. The index is the moov box.

The edit list needs a repair because FFmpeg takes the end of the last decoded frame for the end of
the track. If the last frame is decoded before others (B-frames), the track ends too early, and
players drop that frame or show it too briefly.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, NamedTuple

_CONTAINER_BOXES = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}


class _FullBox(NamedTuple):
    """Position of a box with a version field (ISO/IEC 14496-12, 4.2)."""

    start: int
    end: int
    version: int


def extend_first_track(moov: bytearray, end_s: Fraction) -> None:
    """Extend the last edit of the first track, and the durations that contain it.

    Args:
        moov: A whole moov box, changed in place; one with an unexpected structure is not changed.
        end_s: The end of the track in seconds.
    """
    movie = _find_box(moov, 8, len(moov), b"mvhd")
    track = _find_box(moov, 8, len(moov), b"trak", b"tkhd")
    edits = _find_box(moov, 8, len(moov), b"trak", b"edts", b"elst")
    if movie is None or track is None or edits is None:
        return
    width = 8 if edits.version else 4
    row, count = 2 * width + 4, _read_uint(moov, edits.start + 12, 4)
    last_edit = edits.start + 16 + row * (count - 1)
    if count == 0 or last_edit + row > edits.end:
        return
    scale = _read_uint(moov, movie.start + (28 if movie.version else 20), 4)
    duration = math.ceil(end_s * scale)
    before = sum(_read_uint(moov, edits.start + 16 + row * i, width) for i in range(count - 1))
    _raise_uint_to(moov, last_edit, width, duration - before)
    for box, offsets in ((track, (28, 36)), (movie, (24, 32))):
        position = box.start + offsets[min(box.version, 1)]
        _raise_uint_to(moov, position, 8 if box.version else 4, duration)


def _find_box(moov: bytearray, begin: int, end: int, *path: bytes) -> _FullBox | None:
    for box_type in path:
        found = next(_iter_child_boxes(moov, begin, end, box_type), None)
        if found is None:
            return None
        begin, end = found[0] + 8, found[1]
    return _FullBox(begin - 8, end, moov[begin])


def _iter_child_boxes(
    moov: bytearray, begin: int, end: int, box_type: bytes
) -> Iterator[tuple[int, int]]:
    """Yield (begin, end) of the boxes of type `box_type` from `begin` to `end`."""
    while begin + 8 <= end:
        size = _read_uint(moov, begin, 4)
        if size < 8:
            return
        if moov[begin + 4 : begin + 8] == box_type:
            yield begin, begin + size
        begin += size


def _read_uint(data: bytearray, position: int, width: int) -> int:
    return int.from_bytes(data[position : position + width], "big")


def _raise_uint_to(data: bytearray, position: int, width: int, value: int) -> None:
    """Set an integer to the larger of itself and `value`."""
    if value > _read_uint(data, position, width):
        data[position : position + width] = value.to_bytes(width, "big")


def iter_boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield (box_type, begin, end) of the top-level boxes; the last may end after the file does."""
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


def copy_with_faststart(path: Path, target: Path, video_end_s: Fraction) -> bool:
    """Copy a finished file with its index in front of the data and a repaired edit list.

    Args:
        path: The MP4 file, whose first track is its video.
        target: The file to write.
        video_end_s: The end of the last frame in seconds.

    Returns:
        False if the index is in front already, or the file is too large for 32-bit offsets. Then
        `target` is incomplete.

    Raises:
        OSError: A file cannot be read or written.
    """
    with open(path, "rb") as file, open(target, "wb") as out:
        found = {box_type: (begin, end) for box_type, begin, end in iter_boxes(file)}
        if b"moov" not in found or b"mdat" not in found or found[b"moov"] < found[b"mdat"]:
            return False
        mdat_start = found[b"mdat"][0]
        begin, end = found[b"moov"]
        file.seek(begin)
        moov = bytearray(file.read(end - begin))
        if not _shift_chunk_offsets(moov, 8, len(moov), len(moov)):
            return False
        extend_first_track(moov, video_end_s)
        file.seek(0)
        out.write(file.read(mdat_start))
        out.write(moov)
        shutil.copyfileobj(_LimitedReader(file, begin - mdat_start), out, 1 << 20)
        file.seek(end)
        shutil.copyfileobj(file, out)
    return True


class _LimitedReader:
    """Reader of at most `limit` bytes of a file."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file, self._remaining = file, limit

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(self._remaining if size < 0 else min(size, self._remaining))
        self._remaining -= len(data)
        return data


def _shift_chunk_offsets(moov: bytearray, begin: int, end: int, delta: int) -> bool:
    """Add `delta` to all chunk offsets; return False if one exceeds its 32 bits."""
    while begin + 8 <= end:
        size = int.from_bytes(moov[begin : begin + 4], "big")
        box_type = bytes(moov[begin + 4 : begin + 8])
        if size < 8:
            return False
        if box_type in _CONTAINER_BOXES:
            if not _shift_chunk_offsets(moov, begin + 8, begin + size, delta):
                return False
        elif box_type in (b"stco", b"co64"):
            width = 4 if box_type == b"stco" else 8
            count = int.from_bytes(moov[begin + 12 : begin + 16], "big")
            for position in range(begin + 16, begin + 16 + count * width, width):
                offset = _read_uint(moov, position, width) + delta
                if offset >> (8 * width):
                    return False
                moov[position : position + width] = offset.to_bytes(width, "big")
        begin += size
    return True


def truncate_to_last_fragment(path: Path) -> None:
    """Remove the incomplete fragment at the end of a file whose writing was interrupted."""
    with open(path, "r+b") as file:
        length = os.fstat(file.fileno()).st_size
        complete_end = 0
        for box_type, begin, end in iter_boxes(file):
            if end > length:
                break
            if box_type != b"moof":  # it is useless without the data after it
                complete_end = end
            del begin
        file.truncate(complete_end)
