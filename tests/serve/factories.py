"""Test images: valid files, decompression bombs and damaged files."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from conftest import make_image


def encode_image(image_format: str, array: np.ndarray | None = None, **settings: Any) -> bytes:
    """Return an image file of a Pillow format; by default of a smooth image, 48x64."""
    buffer = io.BytesIO()
    Image.fromarray(make_image(0, 64, 48) if array is None else array).save(
        buffer, image_format, **settings
    )
    return buffer.getvalue()


def decode_image(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def png_chunk(name: bytes, data: bytes) -> bytes:
    body = name + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def make_png_bomb(width: int, height: int, rows: int | None = None) -> bytes:
    """Return a PNG of zeros: a few KiB for any number of pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(3 * width + 1) * (height if rows is None else rows), 9)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", pixels)
        + png_chunk(b"IEND", b"")
    )


def make_scan_bomb(scans: int) -> bytes:
    """Return a progressive JPEG of 1024x1024 that repeats its last scan.

    Each scan has a few bytes, but the decoder passes over all pixels.
    """
    data = encode_image("JPEG", np.zeros((1024, 1024, 3), np.uint8), progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * scans + data[-2:]
