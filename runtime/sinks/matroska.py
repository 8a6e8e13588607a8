"""Matroska post-processing: the display size of the video, which gives its aspect ratio.

FFmpeg's muxer writes it only from a field that PyAV cannot set. H.264 and HEVC also store the
aspect ratio in the encoded video, but VP9, AV1 and ProRes do not.

Elements are those of RFC 8794 and RFC 9559: an ID, a size, and the content. FFmpeg starts a file
with SeekHead (which it writes at the end), Void, Info and Tracks. Tracks grows to the front, into
the space of the Void, so that nothing behind it moves.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

_SEGMENT, _INFO, _VOID, _CRC32 = 0x18538067, 0x1549A966, 0xEC, 0xBF
_SEEK_HEAD, _SEEK, _SEEK_ID, _SEEK_POSITION = 0x114D9B74, 0x4DBB, 0x53AB, 0x53AC
_TRACKS, _TRACK_ENTRY, _VIDEO = 0x1654AE6B, 0xAE, 0xE0
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2
_UNIT_ASPECT_RATIO = 3
_MAX_HEADER_BYTES = 1 << 20


class _Element(NamedTuple):
    """Position of an element in `bytes`."""

    id: int
    start: int
    content: int
    end: int


def write_display_size(path: Path, size: tuple[int, int], sample_aspect_ratio: Fraction) -> bool:
    """Write the display size of the first track of a file.

    Args:
        path: A Matroska or WebM file of FFmpeg, changed in place.
        size: (height, width) of the video in pixels.
        sample_aspect_ratio: The width of a pixel divided by its height.

    Returns:
        False if the file has an unexpected structure; then it is not changed.

    Raises:
        OSError: The file cannot be read or written.
    """
    with open(path, "r+b") as file:
        data = file.read(_MAX_HEADER_BYTES)
        segment = _find(data, 0, len(data), _SEGMENT)
        if segment is None:
            return False
        children = {}
        for child in _iter_elements(data, segment.content, len(data)):
            children[child.id] = child
            if child.id == _TRACKS:
                break
        void, info, tracks = (children.get(id) for id in (_VOID, _INFO, _TRACKS))
        if void is None or info is None or tracks is None or tracks.end > len(data):
            return False
        if (void.end, info.end) != (info.start, tracks.start):
            return False
        display = _display_elements(path, size, sample_aspect_ratio)
        new_tracks = _extend_video(data[tracks.content : tracks.end], display)
        if new_tracks is None:
            return False
        growth = len(new_tracks) - (tracks.end - tracks.start)
        void_bytes = void.end - void.start - growth - len(_element(_VOID, b""))
        if void_bytes < 0:
            return False
        seek_head = children.get(_SEEK_HEAD)
        if seek_head is not None:
            file.seek(seek_head.content)
            file.write(_shift_seek_head(data[seek_head.content : seek_head.end], growth))
        file.seek(void.start)
        file.write(_element(_VOID, bytes(void_bytes)))
        file.write(data[info.start : info.end] + new_tracks)
    return True


def _display_elements(path: Path, size: tuple[int, int], sample_aspect_ratio: Fraction) -> bytes:
    """Return the display size: an exact aspect ratio, or pixels in WebM, which has nothing else."""
    height, width = size
    if path.suffix.lower() == ".webm":
        shown = (max(1, round(width * sample_aspect_ratio)), height)
        unit = b""
    else:
        shown = (width * sample_aspect_ratio / height).as_integer_ratio()
        unit = _element(_DISPLAY_UNIT, bytes([_UNIT_ASPECT_RATIO]))
    sides = (side.to_bytes(4, "big") for side in shown)
    return b"".join(map(_element, (_DISPLAY_WIDTH, _DISPLAY_HEIGHT), sides)) + unit


def _extend_video(tracks: bytes, display: bytes) -> bytes | None:
    """Return the Tracks element of this content with `display` in its first track."""
    checksum = next(_iter_elements(tracks, 0, len(tracks)), None)
    entry = _find(tracks, 0, len(tracks), _TRACK_ENTRY)
    video = _find(tracks, entry.content, entry.end, _VIDEO) if entry else None
    if checksum is None or entry is None or video is None:
        return None
    kept = b"".join(
        tracks[child.start : child.end]
        for child in _iter_elements(tracks, video.content, video.end)
        if child.id not in (_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT)
    )
    new_video = _element(_VIDEO, kept + display)
    new_entry = tracks[entry.content : video.start] + new_video + tracks[video.end : entry.end]
    rest = _element(_TRACK_ENTRY, new_entry) + tracks[entry.end :]
    if checksum.id == _CRC32:
        rest = tracks[checksum.end : entry.start] + rest
        return _element(_TRACKS, _element(_CRC32, _checksum(rest)) + rest)
    return _element(_TRACKS, tracks[: entry.start] + rest)


def _shift_seek_head(content: bytes, growth: int) -> bytes:
    """Return the content of a SeekHead for Info and Tracks that start `growth` bytes earlier."""
    changed = bytearray(content)
    for seek in _iter_elements(content, 0, len(content)):
        target = _find(content, seek.content, seek.end, _SEEK_ID)
        position = _find(content, seek.content, seek.end, _SEEK_POSITION)
        if seek.id != _SEEK or target is None or position is None:
            continue
        if int.from_bytes(content[target.content : target.end], "big") in (_INFO, _TRACKS):
            old = int.from_bytes(content[position.content : position.end], "big")
            width = position.end - position.content
            changed[position.content : position.end] = (old - growth).to_bytes(width, "big")
    checksum = next(_iter_elements(content, 0, len(content)), None)
    if checksum is not None and checksum.id == _CRC32:
        changed[checksum.content : checksum.end] = _checksum(changed[checksum.end :])
    return bytes(changed)


def _checksum(data: bytes | bytearray) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


def _element(id: int, content: bytes) -> bytes:
    size = (0x10000000 | len(content)).to_bytes(4, "big")
    return id.to_bytes((id.bit_length() + 7) // 8, "big") + size + content


def _find(data: bytes, start: int, end: int, id: int) -> _Element | None:
    return next((e for e in _iter_elements(data, start, end) if e.id == id), None)


def _iter_elements(data: bytes, start: int, end: int) -> Iterator[_Element]:
    """Yield the elements from `start` to `end`; the last may end later."""
    while start < end:
        id_end = start + _vint_length(data[start])
        if id_end >= end:
            return
        content = id_end + _vint_length(data[id_end])
        bits = 7 * (content - id_end)
        size = int.from_bytes(data[id_end:content], "big") & ((1 << bits) - 1)
        id = int.from_bytes(data[start:id_end], "big")
        yield _Element(id, start, content, content + size)
        start = content + size


def _vint_length(first_byte: int) -> int:
    """Return the length of a variable-size integer in bytes from its first byte."""
    return 9 - first_byte.bit_length()
