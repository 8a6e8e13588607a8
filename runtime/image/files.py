"""Image files: listing, decoding and encoding.

The one place that decides how the values of a file become 8-bit sRGB, for translation, training and
evaluation alike. OpenCV decodes and encodes, because it is faster; Pillow reads what OpenCV does
not tell: ICC profile, transparency, bit depth and orientation.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..utils.log import warn_user
from .color import WHITE, Color, DecodedImage, to_8_bits, to_srgb
from .heif import decode_heif, is_heif
from .label import label_as_srgb
from .opencv import cv2
from .preprocess import U8

if TYPE_CHECKING:
    from PIL import Image

_JPEG_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
_HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
IMAGE_SUFFIXES = (
    _JPEG_SUFFIXES
    | _HEIF_SUFFIXES
    | {".png", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}
)
FORMATS_TEXT = "PNG, JPEG, WebP, AVIF, HEIC, BMP, TIFF"
ALPHA_SUFFIXES = (".png", ".webp", ".tif", ".tiff")  # formats that keep transparency
_UNREAD_SUFFIXES = frozenset(
    {".gif", ".svg", ".psd", ".jxl", ".jp2", ".tga", ".exr", ".hdr"}
    | {".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"}
)
_MAX_LISTED_FILES = 3
# Tags of TIFF and EXIF, and values of the sample format.
_BITS_PER_SAMPLE, _PHOTOMETRIC, _ORIENTATION, _MAX_SAMPLE_VALUE = 258, 262, 274, 281
_EXTRA_SAMPLES, _SAMPLE_FORMAT, _SMAX_SAMPLE_VALUE, _ICC_PROFILE = 338, 339, 341, 34675
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_PNM_HEADER = re.compile(
    rb"P[2356](?:\s+(?:#[^\n]*\n\s*)*)\d+\s+(?:#[^\n]*\n\s*)*\d+\s+(?:#[^\n]*\n\s*)*(\d+)"
)


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


def read_image(path: Path, background: Color = WHITE) -> U8 | None:
    """Decode an image file as uint8 HWC RGB; return None if it cannot be decoded.

    See `decode_image` and `DecodedImage.flatten`.
    """
    decoded = read_with_alpha(path)
    return None if decoded is None else decoded.flatten(background)


def read_with_alpha(path: Path) -> DecodedImage | None:
    """Decode an image file; return None if it cannot be decoded. See `decode_image`."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return decode_image(data, str(path))


def decode_image(data: bytes, name: str) -> DecodedImage | None:
    """Decode the bytes of an image file; return None if they cannot be decoded.

    Colors are converted from the ICC profile to sRGB. Grayscale becomes three equal channels, and
    deep values become 8 bits by the range of their format. The orientation is applied.

    Args:
        data: The bytes of the file.
        name: The name of the image in messages.
    """
    if data.startswith(b"\xff\xd8") and b"ICC_PROFILE\0" not in data:
        # The most frequent case does without Pillow, which is slow to open small files.
        pixels = _decode_opencv(data, _Header())
        return None if pixels is None else DecodedImage(pixels.view(np.uint8), None, name)
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            header = _Header.read(data, image)
            if header.alpha and not header.maximum:
                pixels = np.asarray(_upright(image).convert("RGBA"))
            elif header.profile and image.mode == "CMYK":
                converted = to_srgb(_upright(image), header.profile, name)
                return DecodedImage(np.array(converted, np.uint8), None, name)
            else:
                pixels = _decode_opencv(data, header)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError, Warning):
        # Pillow does not know the file, as TIFF with several floats per pixel, or it is damaged.
        header = _Header.read(data, None)
        pixels = _decode_opencv(data, header)
    if pixels is None and is_heif(data[:12]) and (decoded := decode_heif(data)):
        pixels, profile = decoded
        header = _Header(profile)
    if pixels is None:
        return None
    eight = to_8_bits(pixels, header.maximum or _type_maximum(pixels.dtype), name)
    rgb = eight[..., :3] if eight.shape[2] >= 3 else eight[..., :1].repeat(3, axis=2)
    if header.profile:
        colors = Image.fromarray(np.ascontiguousarray(rgb))
        rgb = np.array(to_srgb(colors, header.profile, name), np.uint8)
    alpha = eight[..., -1] if header.alpha and eight.shape[2] in (2, 4) else None
    if alpha is not None and alpha.min() == 255:
        alpha = None
    return DecodedImage(np.ascontiguousarray(rgb), alpha, name)


# Of damaged and of very large files, which are decoded or reported here. After other filters.
warnings.filterwarnings("ignore", module=r"PIL\.", append=True)


@dataclass(frozen=True)
class _Header:
    """What a file says about its pixels.

    Attributes:
        profile: The ICC profile; None counts as sRGB.
        alpha: Whether the last channel is transparency.
        maximum: The value of white in a deep file; None for 8 bits.
        white_is_zero: Whether values of a deep file are inverted.
        orientation: As in EXIF; 1 for none.
    """

    profile: bytes | None = None
    alpha: bool = False
    maximum: float | None = None
    white_is_zero: bool = False
    orientation: int = 1

    @classmethod
    def read(cls, data: bytes, image: Image.Image | None) -> _Header:
        """Read the header of a file; `image` is None if Pillow does not open it."""
        if data.startswith((b"II*\0", b"MM\0*")):
            return cls._read_tiff(data)
        if image is None:
            return cls()
        maximum: float | None = None
        if image.format == "PNG" and data[24] == 16:  # bits per sample
            maximum = 65535
        elif pnm := _PNM_HEADER.match(data):
            maximum = float(pnm[1]) if pnm[1] != b"255" else None
        return cls(
            image.info.get("icc_profile"),
            image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info,
            maximum,
            orientation=image.getexif().get(_ORIENTATION, 1) if maximum else 1,
        )

    @classmethod
    def _read_tiff(cls, data: bytes) -> _Header:
        from PIL.TiffImagePlugin import ImageFileDirectory_v2

        file = io.BytesIO(data)
        try:
            tags = ImageFileDirectory_v2(data[:8])
            file.seek(tags.next)
            tags.load(file)
        except (OSError, SyntaxError, struct.error):
            return cls()
        bits = max(np.atleast_1d(tags.get(_BITS_PER_SAMPLE, 1)))
        kind = np.atleast_1d(tags.get(_SAMPLE_FORMAT, _UNSIGNED))[0]
        maximum: float | None = None
        if kind == _FLOAT:
            maximum = 1.0
        elif bits > 8:
            # OpenCV scales 10, 12 and 14 bits to 16.
            storage_bits = max(16, int(bits)) - (kind == _SIGNED)
            maximum = 2.0**storage_bits - 1
        if maximum:
            maximum = _declared_maximum(tags) or maximum
        return cls(
            tags.get(_ICC_PROFILE),
            bool(set(np.atleast_1d(tags.get(_EXTRA_SAMPLES, 0))) & {1, 2}),
            maximum,
            white_is_zero=tags.get(_PHOTOMETRIC) == 0,
        )


def _declared_maximum(tags: Any) -> float | None:
    """Return the largest value that a TIFF declares, if it is a range and not a statistic."""
    for tag in (_SMAX_SAMPLE_VALUE, _MAX_SAMPLE_VALUE):
        value = float(np.atleast_1d(tags.get(tag, 0))[0])
        if value >= 1 and (value == 1 or np.log2(value + 1).is_integer()):
            return value
    return None


def _type_maximum(dtype: np.dtype[Any]) -> float:
    return float(np.iinfo(dtype).max) if dtype.kind in "ui" else 1.0


def _decode_opencv(data: bytes, header: _Header) -> NDArray[Any] | None:
    """Decode to HWC, with RGB before alpha, or return None."""
    if not data:
        return None
    # The second mode handles palettes and all color models, but drops bits of deep values.
    mode = cv2.IMREAD_UNCHANGED if header.maximum else cv2.IMREAD_COLOR_RGB
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
    except cv2.error:
        return None
    if decoded is None or not header.maximum:
        return decoded
    pixels = np.atleast_3d(decoded)
    if pixels.shape[2] >= 3:
        pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    if header.white_is_zero:
        pixels = header.maximum - pixels
    return _orient(pixels, header.orientation)  # OpenCV orients TIFF in any mode, and others not


def _orient(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return pixels (H, W, C) as an EXIF orientation, 1 to 8, demands."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _upright(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


def encode_image(
    image: U8, suffix: str, alpha: U8 | None = None, *, label: bool = False
) -> bytes | None:
    """Encode an image for a file suffix such as ".png"; return None if OpenCV cannot.

    Args:
        image: uint8 HWC RGB, or gray with one channel.
        suffix: The suffix of the file.
        alpha: uint8 (height, width), for one of ALPHA_SUFFIXES.
        label: Embed the ICC profile of sRGB, where the format can.
    """
    suffix = ".jpg" if suffix.lower() in _JPEG_SUFFIXES else suffix
    bgr: Any = image
    if image.shape[2] == 3:
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    elif alpha is not None:
        bgr = np.repeat(image, 3, axis=2)  # OpenCV writes no gray with alpha
    try:
        done, data = cv2.imencode(suffix, bgr if alpha is None else np.dstack([bgr, alpha]))
    except cv2.error:
        return None
    if not done:
        return None
    has_colors = alpha is not None or image.shape[2] == 3  # the profile is one for RGB
    return label_as_srgb(data.tobytes()) if label and has_colors else data.tobytes()
