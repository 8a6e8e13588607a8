"""Decoded images in memory, as many as a limit allows: an epoch of a small set decodes nothing."""

from __future__ import annotations

import threading
from pathlib import Path

from cgt.runtime.image.preprocess import U8

from .folders import read_rgb


class ImageCache:
    """Path -> uint8 HWC RGB. What came first stays: a random order gives no better rule."""

    def __init__(self, limit_mb: int) -> None:
        self._bytes_left = limit_mb << 20
        self._images: dict[Path, U8] = {}
        self._lock = threading.Lock()

    def add(self, path: Path, image: U8) -> U8:
        """Keep an image if it fits; returns it."""
        with self._lock:
            if path not in self._images and image.nbytes <= self._bytes_left:
                self._bytes_left -= image.nbytes
                self._images[path] = image
        return image

    def get(self, path: Path) -> U8:
        """Raises DataError for a file that does not decode. Not to be written to."""
        image = self._images.get(path)
        return self.add(path, read_rgb(path)) if image is None else image
