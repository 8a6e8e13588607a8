"""Folders of images, and single ones."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from ..errors import SourceError
from ..images import list_images, read_image
from .base import Frame, Packet, Source


class ImageSource(Source):
    """The images of a folder, sorted by path, or one image file. Their sizes may differ."""

    size = None
    rate = Fraction(25)  # what becomes of them in a video
    time_base = 1 / rate

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._root = path if path.is_dir() else path.parent
        self._files = list_images(path) if path.is_dir() else [path]
        if not self._files:
            raise SourceError(f"{path} has no image (looked for PNG, JPEG, WebP, BMP, TIFF)")
        self.count = len(self._files)

    def __iter__(self) -> Iterator[Frame | Packet]:
        for index, path in enumerate(self._files):
            image = read_image(path)
            if image is None:
                raise SourceError(f"{path} is not a readable image; remove or replace it")
            yield Frame(image, index * self.time_base, name=str(path.relative_to(self._root)))

    def close(self) -> None:
        pass
