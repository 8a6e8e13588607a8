"""Sizes of frame, network input and output, and their aspect ratio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from ..errors import UsageError
from ..models.metadata import ModelMetadata
from .preprocess import round_up_to_multiple

MAX_SIDE_PX = 16384

SizeSpec = tuple[int, int] | Literal["source"] | None
"""(height, width); "source" for the size of the frame; or None for the size of the model as the
short side, with the aspect ratio of the frame."""


def parse_size(text: str, flag: str = "--size") -> tuple[int, int] | Literal["source"]:
    """Parse "256" (a square), "512x256" (WIDTHxHEIGHT) or "source" to (height, width) or "source".

    Raises UsageError for any other text; `flag` is the name that its message gives.
    """
    if text == "source":
        return "source"
    sides = text.lower().split("x")
    if len(sides) <= 2 and all(side.isdecimal() and 0 < int(side) <= MAX_SIDE_PX for side in sides):
        return int(sides[-1]), int(sides[0])
    raise UsageError(f"{flag} {text} is not a size; write 256, 512x256 (width x height) or source")


def format_size(size: Sequence[int]) -> str:
    """Return (height, width) as people read it: "WIDTHxHEIGHT"."""
    height, width = size
    return f"{width}x{height}"


@dataclass(frozen=True)
class Geometry:
    """Sizes of a translation, all (height, width).

    Attributes:
        image_size: image that the network translates.
        tensor_size: the same, padded to multiples that the network accepts.
        sample_aspect_ratio: width / height of a pixel of the output, which preserves the shape of
            the displayed image.
        output_size: size that the result is resized to; `image_size` by default.
    """

    image_size: tuple[int, int]
    tensor_size: tuple[int, int]
    sample_aspect_ratio: Fraction = Fraction(1)
    output_size: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if self.output_size == (0, 0):
            object.__setattr__(self, "output_size", self.image_size)


def plan_geometry(
    frame_size: tuple[int, int],
    metadata: ModelMetadata,
    size: SizeSpec = None,
    sample_aspect_ratio: Fraction = Fraction(1),
    *,
    output_size: SizeSpec = None,
    tiled: bool = False,
) -> Geometry:
    """Choose the sizes of a translation.

    Args:
        frame_size: (height, width) of the frames.
        metadata: of the model.
        size: size of the image that the network translates.
        sample_aspect_ratio: width / height of the pixels of the frames.
        output_size: size of the result; None for that of the translated image.
        tiled: the network translates tiles, so the image may have any size; by default that of
            the frame.

    Raises:
        UsageError: the model does not accept the size.
    """
    height, width = frame_size
    if tiled:
        image_size = frame_size if size in (None, "source") else _as_height_width(size)
    elif not metadata.dynamic:
        if size is not None and size != metadata.size:
            fixed = format_size(metadata.size)
            raise UsageError(
                f"the model takes {fixed} only; omit --size, export it again, or use --tile"
            )
        image_size = metadata.size
    elif size == "source":
        image_size = frame_size
    elif size is not None:
        image_size = size
    else:
        shown_width = width * sample_aspect_ratio
        scale = min(metadata.size) / min(Fraction(height), shown_width)
        image_size = (
            _round_to_multiple(height * scale, metadata.multiple),
            _round_to_multiple(shown_width * scale, metadata.multiple),
        )
        if max(image_size) > MAX_SIDE_PX:
            raise UsageError(
                f"an image of {format_size(frame_size)} is too long and narrow: the network would "
                f"get {format_size(image_size)}; give --size source or a size"
            )
    if min(image_size) < 16:
        raise UsageError(
            f"an image of {format_size(image_size)} is too small; the minimum is 16 pixels per side"
        )
    final_size = frame_size if output_size == "source" else output_size or image_size
    output_aspect = sample_aspect_ratio * Fraction(width * final_size[0], height * final_size[1])
    return Geometry(
        image_size, round_up_to_multiple(image_size, metadata.multiple), output_aspect, final_size
    )


def _as_height_width(size: SizeSpec) -> tuple[int, int]:
    assert isinstance(size, tuple)
    return size


def _round_to_multiple(side: Fraction, multiple: int) -> int:
    return max(multiple, round(side / multiple) * multiple)
