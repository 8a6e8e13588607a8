"""The boxes of an MP4 file: the index moved to the front, an unfinished file cut clean.

ISO/IEC 14496-12: a box is its length (32 bits, or 64 after a length of 1), four letters, content.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .edits import show_all_pictures

_PARENTS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}


def boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """(letters, begin, end) of the outermost boxes; the last may end behind the file."""
    begin, length = 0, os.fstat(file.fileno()).st_size
    while begin + 8 <= length:
        file.seek(begin)
        head = file.read(16)
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        end = begin + size if size >= 8 else length
        yield head[4:8], begin, end
        begin = end


def move_index_to_front(path: Path, target: Path) -> bool:
    """Copy a finished file so that it plays while it loads, and to its last picture. False where
    it does already, or is longer than its index can say; target is then not to be used. Raises
    OSError."""
    with open(path, "rb") as file, open(target, "wb") as out:
        found = {kind: (begin, end) for kind, begin, end in boxes(file)}
        if b"moov" not in found or b"mdat" not in found or found[b"moov"] < found[b"mdat"]:
            return False
        data = found[b"mdat"][0]
        begin, end = found[b"moov"]
        file.seek(begin)
        index = bytearray(file.read(end - begin))
        if not _shift_offsets(index, 8, len(index), len(index)):
            return False
        show_all_pictures(index)
        file.seek(0)
        out.write(file.read(data))
        out.write(index)
        shutil.copyfileobj(_Part(file, begin - data), out, 1 << 20)
        file.seek(end)
        shutil.copyfileobj(file, out)
    return True


class _Part:
    """At most so many bytes of a file."""

    def __init__(self, file: BinaryIO, left: int) -> None:
        self._file, self._left = file, left

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data


def _shift_offsets(index: bytearray, begin: int, end: int, by: int) -> bool:
    """Adds to all chunk offsets inside; False where one leaves its 32 bits."""
    while begin + 8 <= end:
        size = int.from_bytes(index[begin : begin + 4], "big")
        kind = bytes(index[begin + 4 : begin + 8])
        if size < 8:
            return False
        if kind in _PARENTS:
            if not _shift_offsets(index, begin + 8, begin + size, by):
                return False
        elif kind in (b"stco", b"co64"):
            width = 4 if kind == b"stco" else 8
            count = int.from_bytes(index[begin + 12 : begin + 16], "big")
            for at in range(begin + 16, begin + 16 + count * width, width):
                offset = int.from_bytes(index[at : at + width], "big") + by
                if offset >> (8 * width):
                    return False
                index[at : at + width] = offset.to_bytes(width, "big")
        begin += size
    return True


def cut_to_whole_fragments(path: Path) -> None:
    """Drop the piece of a fragment at the end of a file whose writing was interrupted."""
    with open(path, "r+b") as file:
        length = os.fstat(file.fileno()).st_size
        whole = 0
        for kind, begin, end in boxes(file):
            if end > length:
                break
            if kind != b"moof":  # which counts together with the data behind it
                whole = end
            del begin
        file.truncate(whole)
