"""Animated WebP, GIF, PNG and AVIF: detection, and a source for WebP, which FFmpeg lacks."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from ..errors import SourceError
from ..image.color import DecodedImage
from ..image.opencv import cv2
from ..image.preprocess import U8
from ..utils.log import warn_user
from .base import Frame, Packet, Source

_HEADER_BYTES = 64
_CHUNK_FRAMES = 32  # decoded at once: OpenCV starts anew at each call
_DEFAULT_DURATION_MS = 100  # what browsers take instead of 0
_MS = Fraction(1, 1000)


def open_animation(path: Path) -> Source | None:
    """Open an image file of several frames; return None for one that holds a single image.

    Raises:
        SourceError: The animation is damaged.
    """
    try:
        with open(path, "rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError:
        return None
    if header[:4] == b"RIFF" and header[8:16] == b"WEBPVP8X" and header[20] & 2:
        if hasattr(cv2, "imdecodeanimation"):
            return WebPAnimation(path)
        warn_user(f"{path}: only the first frame is read; pip install -U opencv-python")
        return None
    if header[:4] == b"GIF8" or header[4:12] == b"ftypavis" or _is_animated_png(path, header):
        from .video import VideoSource, file_input

        return VideoSource(file_input(path, str(path)), audio=False)
    return None


def _is_animated_png(path: Path, header: bytes) -> bool:
    """Return whether a PNG has the chunk acTL before its pixels."""
    if header[:8] != b"\x89PNG\r\n\x1a\n":
        return False
    with open(path, "rb") as file:
        file.seek(8)
        while len(chunk := file.read(8)) == 8 and chunk[4:] != b"IDAT":
            if chunk[4:] == b"acTL":
                return True
            file.seek(int.from_bytes(chunk[:4], "big") + 4, 1)
    return False


class WebPAnimation(Source):
    """The frames of an animated WebP, decoded by OpenCV.

    Args:
        path: The file.

    Raises:
        SourceError: The file is damaged.
    """

    time_base = _MS

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._data = np.fromfile(path, np.uint8)
        self._durations = [n or _DEFAULT_DURATION_MS for n in _read_durations(self._data.tobytes())]
        self.frame_count = len(self._durations)
        if not self.frame_count:
            raise SourceError(f"{path} is an animation without frames; remove or replace it")
        self.rate = 1 / (Fraction(sum(self._durations), self.frame_count) * _MS)
        self._first_chunk = self._decode(0)
        self.size = self._first_chunk[0].rgb.shape[:2]

    def _decode(self, start: int) -> list[DecodedImage]:
        try:
            _, animation = cv2.imdecodeanimation(self._data, start=start, count=_CHUNK_FRAMES)
        except cv2.error:
            animation = None
        if animation is None or not animation.frames:
            raise SourceError(f"{self.name} is damaged after {start} frames")
        return [self._to_decoded(frame.astype(np.uint8, copy=False)) for frame in animation.frames]

    def _to_decoded(self, bgr: U8) -> DecodedImage:
        alpha = bgr[..., 3] if bgr.shape[2] == 4 and bgr[..., 3].min() < 255 else None
        return DecodedImage(np.ascontiguousarray(bgr[..., 2::-1]), alpha, self.name)

    def __iter__(self) -> Iterator[Frame | Packet]:
        time, images = Fraction(0), self._first_chunk
        for index, duration_ms in enumerate(self._durations):
            at = index % _CHUNK_FRAMES
            if index and at == 0:
                images = self._decode(index)
            if at >= len(images):
                raise SourceError(f"{self.name} is damaged after {index} frames")
            yield Frame(partial(_itself, images[at]), time, duration=duration_ms * _MS)
            time += duration_ms * _MS

    def close(self) -> None:
        pass


def _itself(image: DecodedImage) -> DecodedImage:
    return image


def _read_durations(data: bytes) -> list[int]:
    """Return the milliseconds of each frame of a WebP file."""
    durations = []
    at = 12  # after the RIFF header
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"ANMF" and at + 23 <= len(data):
            durations.append(int.from_bytes(data[at + 20 : at + 23], "little"))
        at += 8 + length + length % 2
    return durations
