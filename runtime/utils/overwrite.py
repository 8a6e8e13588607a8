"""Refusal of outputs that are inputs of the same run.

Files are compared by device and inode: links and other spellings of a path are the same file.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..errors import UsageError


def is_inside(path: Path, folder: Path) -> bool:
    """Return whether a path, which need not exist, lies in a folder or one of its subfolders.

    A link to a file lies where the link is; a link to a folder is that folder.
    """
    resolved = path.resolve() if path.is_dir() else path.parent.resolve() / path.name
    return folder.resolve() in resolved.parents


def refuse_overwriting(outputs: Iterable[Path | None], inputs: Iterable[Path | None]) -> None:
    """Raise UsageError if an output is one of the inputs.

    Args:
        outputs: Files that are going to be written.
        inputs: Files that are read, and folders of images that are read.
    """
    existing: dict[tuple[int, int] | None, Path] = {}
    for output in filter(None, outputs):
        if identity := _file_identity(output):
            existing[identity] = output
    if not existing:
        return
    for path in filter(None, inputs):
        for file in _files_of(path):
            if found := existing.get(_file_identity(file)):
                raise UsageError(f"{found} is an input and would be overwritten; name another")


def _files_of(path: Path) -> Iterable[Path]:
    if not path.is_dir():
        return (path,)
    from ..image.files import list_images  # loads OpenCV

    return list_images(path)


def _file_identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):  # ValueError: a null character
        return None
    return status.st_dev, status.st_ino
