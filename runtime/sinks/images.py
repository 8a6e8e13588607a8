"""Image file sinks: a folder, a numbered sequence, or a single file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import SinkError, UsageError
from ..image.files import ALPHA_SUFFIXES, encode_image
from ..image.preprocess import resize
from ..utils.atomic import atomic_write
from .base import Sink, TranslatedFrame, warn_alpha_lost


class FolderSink(Sink):
    """One PNG per frame, named after its source image or numbered."""

    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self._folder = folder
        self._written_paths: set[Path] = set()
        self._created_folder = not folder.exists()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SinkError(f"cannot create folder {folder}: {error.strerror}") from None

    def write(self, result: TranslatedFrame) -> None:
        path = name_output(self._folder, result.source_frame.name, self._written_paths)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, result)

    def finish(self) -> None:
        self._created_folder = False

    def close(self) -> None:
        if self._created_folder and not self._written_paths:
            self._folder.rmdir()
        self._created_folder = False


def name_output(folder: Path, frame_name: str, taken: set[Path]) -> Path:
    """Return the path of a frame in a folder, and add it to the paths that are taken."""
    name = frame_name or f"{len(taken):06d}"
    path = folder / Path(name).with_suffix(".png")
    if path in taken:  # a.jpg and a.png
        path = folder / f"{name}.png"
    taken.add(path)
    return path


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
    alpha = result.source_frame.alpha
    if alpha is not None and path.suffix.lower() not in ALPHA_SUFFIXES:
        warn_alpha_lost(path)
        alpha = None
    if alpha is not None:
        plane = np.ascontiguousarray(alpha)[..., None]
        alpha = resize(plane, result.image.shape[:2])[..., 0]
    data = encode_image(result.image, path.suffix, alpha, label=True)
    if data is None:
        raise SinkError(f"cannot write {path}: OpenCV has no encoder for {path.suffix}")
    try:
        with atomic_write(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}") from None
