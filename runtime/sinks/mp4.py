"""The boxes of an MP4 file: the index moved to the front, an unfinished file cut clean.

ISO/IEC 14496-12: a box is its length (32 bits, or 64 after a length of 1), four letters, content.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .edits import fix_edit_lists

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
