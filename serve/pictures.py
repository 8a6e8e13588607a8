"""Images from clients: their size is read before their pixels, and only some formats at all."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cgt.runtime.preprocess import U8

from .refusals import Refusal

FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}
MAX_BYTES = 16 * 2**20
MAX_SIDE = 8192
MAX_PIXELS = 4096 * 4096
MAX_SCANS = 100  # of a progressive JPEG, each of which goes over all its pixels

# Pillow warns of large pictures and decodes them all the same.
warnings.simplefilter("error", Image.DecompressionBombWarning)


def decode(data: bytes) -> U8:
    """uint8 HWC RGB of a PNG, JPEG or WebP file; its first picture, turned as its EXIF data say,
    16 bits as 8, without transparency.

    Raises Refusal: 413 for more bytes or pixels than the limits above, 415 for another format, 422
    for a damaged file.
    """
    if len(data) > MAX_BYTES:
        raise Refusal(413, f"an image may have at most {MAX_BYTES // 2**20} MiB")
    try:
        with Image.open(io.BytesIO(data), formats=tuple(FORMATS.values())) as image:
            _check(image, data)
            image.load()
            return _pixels(image)
    except Refusal:
        raise
    except UnidentifiedImageError:
        raise Refusal(415, "not a PNG, JPEG or WebP image") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large() from None
    except Exception:  # Pillow's decoders raise a dozen kinds on damaged files
        raise Refusal(422, "the image is damaged: it does not decode") from None


def _check(image: Image.Image, data: bytes) -> None:
    width, height = image.size
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise _too_large()
    # Within compressed data 0xFF is always followed by 0 or a restart marker.
    if image.format == "JPEG" and data.count(b"\xff\xda") > MAX_SCANS:
        raise Refusal(422, f"a JPEG may have at most {MAX_SCANS} scans")


def _too_large() -> Refusal:
    return Refusal(
        413, f"an image may have sides of {MAX_SIDE} and {MAX_PIXELS} pixels in all at most"
    )


def _pixels(image: Image.Image) -> U8:
    turned = ImageOps.exif_transpose(image)
    if turned.mode.startswith("I"):  # 16 bits of gray, which `convert` would clip
        gray = (np.asarray(turned) >> 8).astype(np.uint8)
        return np.repeat(gray[:, :, None], 3, axis=2)
    return np.array(turned.convert("RGB"), np.uint8)


def kind_of(data: bytes) -> str:
    """Which of FORMATS a file that decodes is."""
    if data.startswith(b"\x89PNG"):
        return "image/png"
    return "image/jpeg" if data.startswith(b"\xff\xd8") else "image/webp"


def encode(picture: U8, kind: str, quality: int = 90) -> bytes:
    """uint8 HWC RGB as a file of one of FORMATS. quality: of JPEG and WebP, 1 to 100."""
    to = io.BytesIO()
    settings = {"compress_level": 3} if kind == "image/png" else {"quality": quality}
    if kind == "image/webp":
        settings["method"] = 2
    Image.fromarray(picture).save(to, FORMATS[kind], **settings)
    return to.getvalue()
