"""In-memory cache of decoded images, limited in size."""

from __future__ import annotations

import threading
from pathlib import Path

from cgt.runtime.image.preprocess import U8

from .folders import read_rgb


class ImageCache:
    """Cache from path to decoded image, uint8 HWC RGB.

    The first images stay. With a random access order, no eviction rule does better.

    Args:
        limit_mb: Limit of the decoded images, in MiB.
    """

    def __init__(self, limit_mb: int) -> None:
        self._bytes_left = limit_mb << 20
        self._images: dict[Path, U8] = {}
        self._lock = threading.Lock()

    def add(self, path: Path, image: U8) -> U8:
        """Cache an image if it fits, and return it."""
        with self._lock:
            if path not in self._images and image.nbytes <= self._bytes_left:
                self._bytes_left -= image.nbytes
                self._images[path] = image
        return image

    def get(self, path: Path) -> U8:
        """Return the read-only image of a file. Raises DataError if it does not decode."""
        image = self._images.get(path)
        return self.add(path, read_rgb(path)) if image is None else image
