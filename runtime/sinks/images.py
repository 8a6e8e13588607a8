"""Image file sinks: a folder, a numbered sequence, or a single file."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..errors import SinkError, UsageError
from ..image.files import ALPHA_SUFFIXES, IMAGE_SUFFIXES, encode_image
from ..image.preprocess import resize
from ..utils.atomic import atomic_write
from ..utils.log import warn_user
from .base import Sink, TranslatedFrame, warn_alpha_lost

DEFAULT_TEMPLATE = "{name}.png"


class FolderSink(Sink):
    """One file per frame in a folder, named after its source image or numbered.

    Args:
        folder: The folder, which is created.
        template: The name of a file in it: `{name}` is the path of the source image without its
            suffix, and `{ext}` its suffix without the dot.

    Raises:
        SinkError: The folder cannot be created.
    """

    def __init__(self, folder: Path, template: str = DEFAULT_TEMPLATE) -> None:
        self.name = str(folder)
        self._folder, self._template = folder, template
        self._written_paths: set[Path] = set()
        self._created_folder = not folder.exists()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SinkError(f"cannot create folder {folder}: {error.strerror}") from None

    def write(self, result: TranslatedFrame) -> None:
        name = result.source_frame.name
        path = name_output(self._folder, name, self._written_paths, self._template)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, result)

    def finish(self) -> None:
        self._created_folder = False

    def close(self) -> None:
        if self._created_folder and not self._written_paths:
            self._folder.rmdir()
        self._created_folder = False


def split_template(text: str) -> tuple[Path, str]:
    """Split a sink such as "out/{name}.jpg", or a folder, into folder and template of file names.

    Raises:
        UsageError: The suffix is not one of an image, or a field is unknown.
    """
    if "{name}" not in text:
        return Path(text), DEFAULT_TEMPLATE
    before, _, after = text.partition("{name}")
    folder = Path(before + "x").parent
    template = text[len(before) - len(before.rpartition("/")[2]) :]
    unknown = set(re.findall(r"\{(\w*)\}", text)) - {"name", "ext"}
    if unknown or "{" in before:
        raise UsageError(f"{text}: the fields of a name are {{name}} and, after it, {{ext}}")
    if not after.endswith(".{ext}") and Path(f"x{after}").suffix.lower() not in IMAGE_SUFFIXES:
        raise UsageError(f"{text} must end in an image suffix such as .jpg, or in .{{ext}}")
    return folder, template


def name_output(
    folder: Path, frame_name: str, taken: set[Path], template: str = DEFAULT_TEMPLATE
) -> Path:
    """Return the path of a frame in a folder, and add it to the paths that are taken."""
    name = Path(frame_name or f"{len(taken):06d}.png")
    if "{ext}" in template:
        extension = name.suffix[1:] if _is_writable(name.suffix.lower()) else "png"
        template = template.replace("{ext}", extension)
    path = folder / template.replace("{name}", str(name.with_suffix("")))
    if path in taken:  # a.jpg and a.png
        path = folder / template.replace("{name}", str(name))
    taken.add(path)
    return path


@lru_cache
def _is_writable(suffix: str) -> bool:
    if suffix not in IMAGE_SUFFIXES:  # such as GIF, which has few colors
        return False
    if encode_image(np.zeros((16, 16, 3), np.uint8), suffix) is not None:
        return True
    warn_user(f"cgt does not write {suffix}: {{ext}} is png for such images")
    return False


class ImageSequenceSink(Sink):
    """`frames/%05d.png`: one file per frame, numbered from 0."""

    def __init__(self, pattern: str) -> None:
        self.name = self._pattern = pattern
        self._count = 0
        folder = Path(pattern).parent
        if "%" in str(folder):
            raise UsageError(f"{pattern}: put the number into the file name")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SinkError(f"cannot create folder {folder}: {error.strerror}") from None

    def write(self, result: TranslatedFrame) -> None:
        write_image(Path(self._pattern % self._count), result)
        self._count += 1

    def finish(self) -> None:
        pass

    def close(self) -> None:
        pass


class ImageSink(Sink):
    """A single image file, for a single frame."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path
        self._result: TranslatedFrame | None = None
        self._got_second_frame = False  # a usage error: nothing is written then
        if not path.parent.is_dir():
            raise SinkError(f"cannot write {path}: the folder {path.parent} is missing")

    def write(self, result: TranslatedFrame) -> None:
        if self._result is not None:
            self._got_second_frame = True
            raise SinkError(f"{self._path} holds one image; use a folder for several")
        self._result = result

    def finish(self) -> None:
        if self._got_second_frame:
            return
        if self._result is None:
            raise SinkError(f"nothing to write to {self._path}: no frame arrived")
        write_image(self._path, self._result)

    def close(self) -> None:
        self._result = None


def write_image(path: Path, result: TranslatedFrame) -> None:
    """Write a translated frame to an image file.

    Raises:
        SinkError: The file cannot be written.
    """
    pixels, alpha = result.pixels, result.source_frame.alpha
    if pixels.shape[2] == 4:  # the model's own transparency
        pixels, alpha = np.ascontiguousarray(pixels[..., :3]), pixels[..., 3]
    if alpha is not None and path.suffix.lower() not in ALPHA_SUFFIXES:
        warn_alpha_lost(path)
        pixels, alpha = result.image if result.pixels.shape[2] == 4 else pixels, None
    if alpha is not None and alpha.shape != pixels.shape[:2]:
        alpha = resize(np.ascontiguousarray(alpha)[..., None], pixels.shape[:2])[..., 0]
    data = encode_image(pixels, path.suffix, alpha, label=True)
    if data is None:
        raise SinkError(f"cannot write {path}: OpenCV has no encoder for {path.suffix}")
    try:
        with atomic_write(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}") from None
