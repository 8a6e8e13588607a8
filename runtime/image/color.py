"""Color of images: ICC profiles, bit depth and transparency, all reduced to 8-bit sRGB.

Networks are trained on sRGB, and an image without a profile counts as sRGB. Profiles are applied by
littlecms through Pillow, because those of phones, printers and CMYK files have tables and curves of
many kinds. Pillow is imported with the first image (30 ms) instead of with this module.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..utils.log import warn_user_once
from .preprocess import U8

if TYPE_CHECKING:
    from PIL import Image

Color = tuple[int, int, int]
WHITE: Color = (255, 255, 255)
_MAX_SRGB_ERROR = 2  # codes between sRGB and a profile that counts as sRGB
_SMALL_SHARE = 0.26  # of the range: 14 bits in 16, or fewer


def parse_color(text: str) -> Color:
    """Parse a color name or "#RRGGBB" to sRGB, 0 to 255.

    Raises:
        UsageError: It is no color.
    """
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError:
        raise UsageError(
            f"--background {text} is not a color; write a name such as white, or #RRGGBB"
        ) from None
    return red, green, blue


@dataclass(frozen=True)
class DecodedImage:
    """An image with its transparency.

    Attributes:
        rgb: uint8 HWC RGB, not multiplied by alpha.
        alpha: uint8 (height, width), 255 for opaque; None without transparent pixels.
        name: The name of the image in messages.
    """

    rgb: U8
    alpha: U8 | None
    name: str

    def flatten(self, background: Color) -> U8:
        """Composite the image on a background, as uint8 HWC RGB; cgt prints that it does."""
        if self.alpha is None:
            return self.rgb
        color = "#{:02x}{:02x}{:02x}".format(*background)
        warn_user_once("alpha", f"{self.name} is transparent in parts: compositing it on {color}")
        return composite(self.rgb, self.alpha, background)


def composite(rgb: U8, alpha: U8, background: Color) -> U8:
    """Composite an image on a background.

    Args:
        rgb: uint8 HWC RGB, not multiplied by alpha.
        alpha: uint8 (height, width), 255 for opaque.
        background: the color of the background.

    Returns:
        A new array, uint8 HWC RGB.
    """
    weight = alpha.astype(np.uint16)[..., None]
    behind = np.array(background, np.uint16)
    # At most 255 * 255 + 127, which fits 16 bits.
    blended = (rgb * weight + behind * (255 - weight) + 127) // 255
    return np.asarray(blended, np.uint8)


def to_8_bits(pixels: NDArray[Any], maximum: float, name: str) -> U8:
    """Scale the values of an image to 0..255.

    cgt prints a warning if the values use a small part of their range, or exceed it.

    Args:
        pixels: Values of any type.
        maximum: The value of white. That of black is 0.
        name: The name of the image in messages.

    Returns:
        uint8 of the same shape.
    """
    if pixels.dtype == np.uint8 and maximum == 255:
        return pixels.view(np.uint8)
    values = np.nan_to_num(pixels.astype(np.float32), nan=0.0)
    low, high = float(values.min()), float(values.max())
    if 0 < high <= _SMALL_SHARE * maximum and pixels.dtype != np.uint8:
        warn_user_once(
            "dark",
            f"{name} has values of at most {high:g} where white is {maximum:g}, so it is dark; "
            "scale such images to the full range first (printed for one image)",
        )
    if high > 1.001 * maximum or low < 0:
        warn_user_once(
            "clipped",
            f"{name} has values from {low:g} to {high:g} where white is {maximum:g}: clipping them",
        )
    return np.asarray(np.rint(np.clip(values * (255 / maximum), 0, 255)), np.uint8)


def to_srgb(image: Image.Image, profile: bytes, name: str) -> Image.Image:
    """Convert an image from its ICC profile to sRGB.

    Args:
        image: An image of mode RGB or CMYK.
        profile: The ICC profile of the file.
        name: The name of the image in messages.

    Returns:
        The image in mode RGB. Without conversion, if the profile is sRGB itself, or cannot be used,
        which cgt prints.
    """
    try:
        mode, transform = _make_transform(profile, image.mode)
    except ValueError as error:
        warn_user_once(
            f"profile {error}", f"{name} has an ICC profile that {error}: reading it as sRGB"
        )
        transform = None
    if transform is None:
        return image.convert("RGB")
    converted: Image.Image = transform.apply(image.convert(mode))
    return converted


@lru_cache(maxsize=32)
def _make_transform(profile: bytes, mode: str) -> tuple[str, Any]:
    """Return the mode that a profile is for, and a transform to sRGB, or None if it is sRGB.

    Raises ValueError if the profile is bad.
    """
    from PIL import Image, ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        if space == "GRAY" and mode == "RGB":
            mode = "L"
        elif space != mode:
            raise ValueError(f"is for {space} and not for its pixels")
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError) as error:
        raise ValueError(f"does not load ({error})") from None
    if mode == "CMYK":
        return mode, transform
    # Files of most editors have a profile of sRGB: their pixels stay as they are.
    axis = np.arange(0, 256, 17, dtype=np.uint8)
    colors = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(1, -1, 3)
    probe = Image.fromarray(colors) if mode == "RGB" else Image.fromarray(axis[None])
    error_codes = np.asarray(transform.apply(probe), int) - np.asarray(probe.convert("RGB"), int)
    return mode, transform if np.abs(error_codes).max() > _MAX_SRGB_ERROR else None


@lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """Return an ICC profile of sRGB, the same at each call and in each process."""
    from PIL import ImageCms

    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    creation_date = slice(24, 36)
    profile[creation_date] = bytes(12)
    return bytes(profile)
