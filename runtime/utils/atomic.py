"""Files that are either whole or not there."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def create_temp_sibling(path: Path) -> Path:
    """A new empty file in `path`'s folder, hidden, with its suffix; os.replace moves it in place.

    Raises OSError when the folder is missing or not writable, or `path` is a folder.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"the folder {path.parent} is missing", str(path))
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    temporary.touch(exist_ok=False)
    return temporary


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Gives a temporary path to write; the file takes its name when the block ends well, and
    vanishes when it does not. What is already there under the name is kept until then."""
    temporary = create_temp_sibling(path)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def file_sha256(path: Path) -> str:
    """Of a file's bytes, in hexadecimal. Raises OSError."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
