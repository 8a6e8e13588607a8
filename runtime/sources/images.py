"""Image file source: a folder, the matches of a wildcard, or a single file."""

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
    """Image files in a given order, of equal or different sizes.

    A file that cannot be read raises SourceError when its pixels are accessed.

    Args:
        name: The name of the source in messages.
        root: The folder to which the names of frames are relative.
        files: Paths inside `root`.

    Raises:
        SourceError: `files` is empty.
    """

    size = None
    rate = Fraction(25)  # the frame rate if they become a video
    time_base = 1 / rate

    def __init__(self, name: str, root: Path, files: list[Path]) -> None:
        self.name = name
        self._root = root
        self._files = files
        if not files:
            raise SourceError(f"{name} has no image (looked for PNG, JPEG, WebP, BMP, TIFF)")
        self.frame_count = len(files)

    def __iter__(self) -> Iterator[Frame | Packet]:
        for index, path in enumerate(self._files):
            name = str(path.relative_to(self._root))
            yield Frame(partial(_read_or_raise, path), index * self.time_base, name, is_still=True)

    def close(self) -> None:
        pass


def _read_or_raise(path: Path) -> U8:
    image = read_image(path)
    if image is None:
        raise SourceError(f"{path} is not a readable image; remove or replace it")
    return image
