"""Decoder and encoder of uploaded images: PNG, JPEG and WebP, with limits on their size.

The size of an image is checked before its pixels are decoded. A photo of 24 megapixels is accepted,
which takes a few hundred MiB while it is decoded: large images are decoded one at a time.
"""

from __future__ import annotations

import io
import threading
import warnings
from contextlib import nullcontext
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cgt.runtime.image.channels import to_rgb
from cgt.runtime.image.color import WHITE, srgb_profile
from cgt.runtime.image.files import decode_image
from cgt.runtime.image.preprocess import U8

from .errors import HttpError

IMAGE_FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}
MAX_IMAGE_BYTES = 24 * 2**20
MAX_SIDE_PX = 8192
MAX_IMAGE_PIXELS = 6144 * 4096  # cameras of phones have 6000x4000 or 5712x4284
_PIXELS_OF_DEEP = 2  # a pixel of 16 bits per channel counts as two
_LARGE_PIXELS = 2048 * 2048
MAX_JPEG_SCANS = 100  # each scan of a progressive JPEG is a pass over all pixels

_large_slot = threading.Lock()

# By default Pillow only warns of large images and decodes them.
warnings.simplefilter("error", Image.DecompressionBombWarning)


def decode_upload(data: bytes, keep_alpha: bool = False) -> U8:
    """Decode an image file.

    Color is handled as in image files: see `cgt.runtime.image.files.decode_image`. Transparency is
    composited on white, unless it is kept. Of an animation only the first frame is decoded.

    Args:
        data: Bytes of a PNG, JPEG or WebP file.
        keep_alpha: Return transparency as a fourth channel, if the image has any.

    Returns:
        uint8 HWC RGB, 0 to 255.

    Raises:
        HttpError: 413 for more bytes or pixels than the limits of this module, 415 for another
            format, 422 for a damaged file.
    """
    if len(data) > MAX_IMAGE_BYTES:
        raise HttpError(413, f"an image may have at most {MAX_IMAGE_BYTES // 2**20} MiB")
    try:
        with Image.open(io.BytesIO(data), formats=tuple(IMAGE_FORMATS.values())) as image:
            pixels = _check_limits(image, data)
            with _large_slot if pixels > _LARGE_PIXELS else nullcontext():
                return _decode(image, data, keep_alpha)
    except HttpError:
        raise
    except UnidentifiedImageError:
        raise HttpError(415, "not a PNG, JPEG or WebP image") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large() from None
    except Exception:  # Pillow raises a dozen exception types for damaged files
        raise HttpError(422, "the image is damaged; it cannot be decoded") from None


def _decode(image: Image.Image, data: bytes, keep_alpha: bool) -> U8:
    """Decode an opened image with as few copies of its pixels as possible."""
    is_plain = _is_plain(image, data)
    image.load()  # raises for damage, which OpenCV would fill with gray
    if is_plain:
        ImageOps.exif_transpose(image, in_place=True)
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB"), np.uint8)
    image.close()
    decoded = decode_image(data, "an uploaded image")
    if decoded is None:
        raise ValueError
    if keep_alpha and decoded.alpha is not None:
        return np.dstack([decoded.rgb, decoded.alpha])
    return decoded.flatten(WHITE)


def _check_limits(image: Image.Image, data: bytes) -> int:
    """Return the pixels of an image, those of 16 bits counted twice."""
    width, height = image.size
    pixels = width * height * (_PIXELS_OF_DEEP if _is_deep(image, data) else 1)
    if max(width, height) > MAX_SIDE_PX or pixels > MAX_IMAGE_PIXELS:
        raise _too_large()
    # In compressed data 0xFF is always followed by 0 or a restart marker, so this counts scans.
    if image.format == "JPEG" and data.count(b"\xff\xda") > MAX_JPEG_SCANS:
        raise HttpError(422, f"a JPEG may have at most {MAX_JPEG_SCANS} scans")
    return pixels


def _too_large() -> HttpError:
    return HttpError(
        413,
        f"an image may have at most {MAX_SIDE_PX} pixels per side and {MAX_IMAGE_PIXELS} in total "
        "(with 16 bits per channel half of that)",
    )


def _is_deep(image: Image.Image, data: bytes) -> bool:
    return image.format == "PNG" and data[24] == 16  # bits per sample


def _is_plain(image: Image.Image, data: bytes) -> bool:
    """Return whether the pixels that Pillow decodes are opaque 8-bit sRGB."""
    transparent = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    return not (_is_deep(image, data) or transparent or image.info.get("icc_profile"))


def detect_media_type(data: bytes) -> str:
    """Return the media type of a valid file of one of IMAGE_FORMATS."""
    if data.startswith(b"\x89PNG"):
        return "image/png"
    return "image/jpeg" if data.startswith(b"\xff\xd8") else "image/webp"


def encode_as(image: U8, media_type: str, quality: int = 90) -> bytes:
    """Encode an image.

    Args:
        image: uint8 HWC, gray, RGB, or RGB with alpha. JPEG gets the latter on white.
        media_type: One of IMAGE_FORMATS.
        quality: Quality of JPEG and WebP, 1 to 100.
    """
    buffer = io.BytesIO()
    settings: dict[str, Any] = (
        {"compress_level": 3} if media_type == "image/png" else {"quality": quality}
    )
    if media_type == "image/webp":
        settings["method"] = 2
    settings["icc_profile"] = srgb_profile()
    if image.shape[2] == 4 and media_type == "image/jpeg":
        image = to_rgb(image)
    pixels = image[..., 0] if image.shape[2] == 1 else image
    if image.shape[2] == 1:
        del settings["icc_profile"]  # a profile for RGB does not fit
    Image.fromarray(pixels).save(buffer, IMAGE_FORMATS[media_type], **settings)
    return buffer.getvalue()
