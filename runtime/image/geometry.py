"""Which size the network sees, and what becomes of the picture's aspect."""

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
"""(height, width); the frame's own; or None: the model's size as the short side, aspect kept."""


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
    """picture: (height, width) of the translated picture. tensor: the same, padded to what the
    network takes. output: what the picture is resized to before it is written; the picture's own
    size by default. aspect: width / height of one pixel of the output, so that what is shown keeps
    its shape."""

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
    """frame: (height, width) of the source, with pixels of `aspect`. output: (height, width) of
    what is written, "source" for the frame's own, or None for the network's. tiled: the network
    sees tiles, so the picture may have any size, and has the frame's own by default.

    Raises UsageError where the model cannot take the size that was asked for.
    """
    height, width = frame_size
    if tiled:
        image_size = frame_size if size in (None, "source") else _as_height_width(size)
    elif not metadata.dynamic:
        if size is not None and size != metadata.size:
            fixed = format_size(metadata.size)
            raise UsageError(
                f"the model takes {fixed} only; leave --size out, export it anew, or use --tile"
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
