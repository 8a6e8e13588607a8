"""Image file source: a folder, the matches of a wildcard, or a single file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path

from ..errors import SourceError
from ..image.color import DecodedImage
from ..image.files import IMAGE_SUFFIXES, read_with_alpha
from .base import Frame, Packet, Source


class ImageSource(Source):
    """Image files in a given order, of equal or different sizes.

    A file that cannot be read raises SourceError when its pixels are accessed.

    Args:
        name: The name of the source in messages.
        root: The folder to which the names of frames are relative.
        files: Paths inside `root`.
        would_read: Whether a later run would also read a new file; see `Source.would_read`.

    Raises:
        SourceError: `files` is empty.
    """

    size = None
    rate = Fraction(25)  # the frame rate if they become a video
    time_base = 1 / rate

    def __init__(
        self,
        name: str,
        root: Path,
        files: list[Path],
        would_read: Callable[[Path], bool] = lambda path: False,
    ) -> None:
        self.name = name
        self.files = tuple(files)
        self.frame_names = tuple(str(path.relative_to(root)) for path in files)
        self._would_read = would_read
        if not files:
            raise SourceError(f"{name} has no image (looked for PNG, JPEG, WebP, BMP, TIFF)")
        self.frame_count = len(files)

    def __iter__(self) -> Iterator[Frame | Packet]:
        for index, (path, name) in enumerate(zip(self.files, self.frame_names, strict=True)):
            yield Frame(partial(_read_or_raise, path), index * self.time_base, name)

    def would_read(self, path: Path) -> bool:
        return path.suffix.lower() in IMAGE_SUFFIXES and self._would_read(path)

    def close(self) -> None:
        pass


def _read_or_raise(path: Path) -> DecodedImage:
    image = read_with_alpha(path)
    if image is None:
        raise SourceError(f"{path} is not a readable image; remove or replace it")
    return image
