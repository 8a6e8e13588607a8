"""The teacher's answers, each asked for once and kept as a file."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from cgt.runtime.errors import DataError
from cgt.runtime.files import atomic_write
from cgt.runtime.images import encode_image
from cgt.runtime.preprocess import F32, U8, pack

from ..store import ImageCache
from .teacher import Teacher


class TeacherCache:
    """FOLDER/KEY.png: a teacher's answer to a view of a photo, as uint8. The key is a hash of the
    teacher, its precision, the photo's bytes and the view, so that runs can share a folder, and one
    that is cut off goes on where it was."""

    def __init__(self, folder: Path, teacher: Teacher, store: ImageCache) -> None:
        """Raises DataError where the folder cannot be made."""
        self.folder, self.teacher, self.store = folder, teacher, store
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"cannot write to {folder}: {error.strerror}") from None

    def get(self, photo: Path, crop_name: str, view: F32) -> F32:
        """float32 3,H,W in [-1, 1]: the answer to `view` of the photo, which has this name among
        its views. Raises DataError where a file cannot be read or written."""
        path = self.folder / f"{self.file_key(photo, crop_name)}.png"
        return pack(self.store.get(path) if path.exists() else self._compute(path, view))

    def file_key(self, photo: Path, name: str) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for part in (self.teacher.cache_key, photo_hash(photo), name):
            digest.update(part.encode() + b"\0")
        return digest.hexdigest()

    def _compute(self, path: Path, view: F32) -> U8:
        image = self.teacher.predict(view)
        data = encode_image(image, ".png")
        assert data is not None
        try:
            with atomic_write(path) as temporary:
                temporary.write_bytes(data)
        except OSError as error:
            raise DataError(f"cannot write {path}: {error.strerror}") from None
        return self.store.add(path, image)


@functools.cache
def photo_hash(photo: Path) -> str:
    """Raises DataError."""
    try:
        return hashlib.blake2b(photo.read_bytes(), digest_size=16).hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {photo}: {error.strerror}") from None
