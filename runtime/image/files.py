"""Image files: listing, decoding and encoding."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ..utils.log import warn_user
from .heif import decode_heif, is_heif
from .opencv import cv2
from .preprocess import U8

_JPEG_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
_HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
IMAGE_SUFFIXES = (
    _JPEG_SUFFIXES
    | _HEIF_SUFFIXES
    | {".png", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}
)
FORMATS_TEXT = "PNG, JPEG, WebP, AVIF, HEIC, BMP, TIFF"
_UNREAD_SUFFIXES = frozenset(
    {".gif", ".svg", ".psd", ".jxl", ".jp2", ".tga", ".exr", ".hdr"}
    | {".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"}
)
_MAX_LISTED_FILES = 3


def list_images(folder: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Return the image files of a folder and its subfolders, sorted, without hidden ones."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def warn_of_unread_images(folder: Path, read: frozenset[str] = IMAGE_SUFFIXES) -> None:
    """Print which images of a folder `list_images` leaves out because of their format."""
    unread = list_images(folder, _UNREAD_SUFFIXES - read)
    if unread:
        names = ", ".join(str(path.relative_to(folder)) for path in unread[:_MAX_LISTED_FILES])
        rest = f" and {len(unread) - _MAX_LISTED_FILES} more" * (len(unread) > _MAX_LISTED_FILES)
        warn_user(
            f"{folder}: images of other formats are left out: {names}{rest}; "
            f"cgt reads {FORMATS_TEXT} here"
        )


def natural_key(path: Path) -> tuple[object, ...]:
    """Return a sort key by which numbers in names are ordered by their value: 2 before 10."""
    parts = tuple(
        tuple(
            (int(text), "") if text.isdecimal() else (-1, text)
            for text in re.split(r"(\d+)", part, flags=re.ASCII)
        )
        for part in path.parts
    )
    return parts, path


def read_image(path: Path) -> U8 | None:
    """Decode an image file as uint8 HWC RGB; return None if it cannot be decoded.

    Grayscale becomes three equal channels, 16 bits become 8, transparency is dropped, and the
    EXIF orientation is applied.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError:
        return None
    if data.size == 0:
        return None
    image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    if image is None:
        return decode_heif(data.tobytes()) if is_heif(data[:12].tobytes()) else None
    return image.astype(np.uint8, copy=False)


def encode_image(image: U8, suffix: str) -> bytes | None:
    """Encode an RGB image for a file suffix such as ".png"; return None if OpenCV cannot."""
    suffix = ".jpg" if suffix.lower() in _JPEG_SUFFIXES else suffix
    try:
        done, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error:
        return None
    return data.tobytes() if done else None
