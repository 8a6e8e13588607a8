"""Image file source: a folder, a list, the matches of a wildcard or of `%d`, or a single file."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from fractions import Fraction
from functools import partial
from itertools import chain
from os.path import abspath, commonpath
from pathlib import Path

from ..errors import CgtError, SourceError
from ..image.color import DecodedImage
from ..image.files import (
    FORMATS_TEXT,
    IMAGE_SUFFIXES,
    list_images,
    natural_key,
    read_with_alpha,
    warn_of_unread_images,
)
from ..image.heif import is_heif
from ..image.preprocess import U8
from ..utils.overwrite import is_inside
from .animations import open_animation
from .base import Frame, Packet, Source

SEQUENCE_SUFFIXES = IMAGE_SUFFIXES | {".gif"}
DEFAULT_FRAMERATE = Fraction(25)  # as FFmpeg's


class ImageSource(Source):
    """Image files in a given order, of equal or different sizes.

    A file that cannot be read raises SourceError when its pixels are accessed. Each frame of an
    animation is an image.

    Args:
        name: The name of the source in messages.
        root: The folder to which the names of frames are relative.
        files: Paths inside `root`.
        framerate: Images per second, if they become a video.
        would_read: Whether a later run would also read a new file; see `Source.would_read`.

    Raises:
        SourceError: `files` is empty.
    """

    size = None

    def __init__(
        self,
        name: str,
        root: Path,
        files: Sequence[Path],
        framerate: Fraction = DEFAULT_FRAMERATE,
        would_read: Callable[[Path], bool] = lambda path: False,
    ) -> None:
        self.name = name
        self.files = tuple(files)
        self.frame_names = tuple(str(path.relative_to(root)) for path in files)
        self._would_read = would_read
        if not files:
            raise SourceError(f"{name} has no image (looked for {FORMATS_TEXT}, GIF)")
        self.rate = framerate
        self.time_base: Fraction = 1 / framerate
        self.frame_count = len(files)  # an estimate, if there are animations

    def __iter__(self) -> Iterator[Frame | Packet]:
        images = chain.from_iterable(map(_read_file, self.files, self.frame_names))
        for index, (image, name) in enumerate(images):
            yield Frame(image, index * self.time_base, name, is_still=True)

    def would_read(self, path: Path) -> bool:
        return path.suffix.lower() in SEQUENCE_SUFFIXES and self._would_read(path)

    def close(self) -> None:
        pass


def _read_file(path: Path, name: str) -> Iterator[tuple[Callable[[], U8 | DecodedImage], str]]:
    """Yield a function that returns the pixels, and the name, of each image of a file."""
    try:
        animation = open_animation(path)
        if animation is None:
            yield partial(_read_or_raise, path), name
            return
        with animation:
            frames = (item for item in animation if isinstance(item, Frame))
            first, second = next(frames), next(frames, None)
            if second is None:
                yield first.decode, name
                return
            for number, frame in enumerate(chain((first, second), frames)):
                numbered = Path(name).with_stem(f"{Path(name).stem}_{number:05d}")
                yield frame.decode, str(numbered)
    except CgtError as error:
        yield partial(_raise, error), name


def find_images(text: str) -> tuple[Path, list[Path]]:
    """Return the folder and the image files that a source names, numbers in their order.

    Args:
        text: A folder, a file, a wildcard, or a path with `%d` or `%05d` in the file name.
    """
    path = Path(text)
    if path.is_dir():
        warn_of_unread_images(path, SEQUENCE_SUFFIXES)
        return path, sorted(list_images(path, SEQUENCE_SUFFIXES), key=natural_key)
    if path.exists():
        return path.parent, [path]
    if re.search(r"%\d*d", path.name):
        before, after = (re.escape(part) for part in re.split(r"%\d*d", path.name, maxsplit=1))
        found = [p for p in path.parent.glob("*") if re.fullmatch(rf"{before}\d+{after}", p.name)]
        root = path.parent
    else:
        found = [Path(match) for match in glob.glob(text, recursive=True)]  # noqa: PTH207
        root = Path(re.split(r"[^/]*[*?\[]", text, maxsplit=1)[0])
    images = [p for p in found if p.suffix.lower() in SEQUENCE_SUFFIXES and p.is_file()]
    return root, sorted(images, key=natural_key)


def matches_pattern(text: str, root: Path, path: Path) -> bool:
    """Return whether `find_images(text)`, which returned `root`, would find a new file."""
    if not is_inside(path, root):
        return False
    names = path.resolve().relative_to(root.resolve()).parts
    patterns = Path(re.sub(r"%\d*d", "[0-9]*", text)).relative_to(root).parts
    if "**" in patterns:
        return fnmatchcase(names[-1], patterns[-1])
    return len(names) == len(patterns) and all(map(fnmatchcase, names, patterns))


def arrange_images(paths: Sequence[str]) -> tuple[Path, list[Path]]:
    """Return the common folder of a list of image files, and the files.

    A list that is sorted as text comes from a wildcard of the shell. It is sorted by number here.

    Raises:
        SourceError: A file is missing.
    """
    files = [Path(path) for path in dict.fromkeys(paths)]
    if len({path.parent for path in files}) > 1:
        files = [Path(abspath(path)) for path in files]  # noqa: PTH100 (keeps links)
    for path in files:
        if not path.is_file():
            raise SourceError(f"{path} is missing; check its path")
    if [*map(str, files)] == sorted(map(str, files)):
        files.sort(key=natural_key)
    return Path(commonpath([path.parent for path in files])), files


def _raise(error: CgtError) -> U8:
    raise error


def _read_or_raise(path: Path) -> DecodedImage:
    image = read_with_alpha(path)
    if image is None:
        hint = ""
        if path.is_file():
            with open(path, "rb") as file:
                if is_heif(file.read(12)):
                    hint = " (for HEIC of many tiles: pip install pillow-heif)"
        raise SourceError(f"{path} is not a readable image; remove or replace it{hint}")
    return image
