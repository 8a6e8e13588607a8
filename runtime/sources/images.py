"""Image files: a folder of them, what a wildcard finds, or a single one."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path

from ..errors import SourceError
from ..image.files import read_image
from ..image.preprocess import U8
from .base import Frame, Packet, Source


class ImageSource(Source):
    """Images in the order given. Their sizes may differ. Raises SourceError where there is none;
    one that is not readable raises it when its pixels are asked for."""

    size = None
    rate = Fraction(25)  # what becomes of them in a video
    time_base = 1 / rate

    def __init__(self, name: str, root: Path, files: list[Path]) -> None:
        """root: the folder that names are relative to."""
        self.name = name
        self._root = root
        self._files = files
        if not files:
            raise SourceError(f"{name} has no image (looked for PNG, JPEG, WebP, BMP, TIFF)")
        self.frame_count = len(files)

    def __iter__(self) -> Iterator[Frame | Packet]:
        for index, path in enumerate(self._files):
            name = str(path.relative_to(self._root))
            yield Frame(partial(_read_or_raise, path), index * self.time_base, name)

    def close(self) -> None:
        pass


def _read_or_raise(path: Path) -> U8:
    image = read_image(path)
    if image is None:
        raise SourceError(f"{path} is not a readable image; remove or replace it")
    return image
