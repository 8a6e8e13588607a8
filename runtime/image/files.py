"""Image files: listing, decoding and encoding."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .opencv import cv2
from .preprocess import U8

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}
)


def list_images(folder: Path) -> list[Path]:
    """Return the image files of a folder and its subfolders, sorted, without hidden ones."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


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
    return None if image is None else image.astype(np.uint8, copy=False)


def encode_image(image: U8, suffix: str) -> bytes | None:
    """Encode an RGB image for a file suffix such as ".png"; return None if OpenCV cannot."""
    try:
        done, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error:
        return None
    return data.tobytes() if done else None
