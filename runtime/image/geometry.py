"""Sizes of frame, network input and output, and their aspect ratio."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from ..errors import UsageError
from ..models.metadata import ModelMetadata
from .preprocess import round_up_to_multiple

MAX_SIDE_PX = 16384
MIN_SIDE_PX = 16
_MAX_ROUNDING_PX = 8  # networks of larger multiples, such as U-Nets, get padding instead
_EVEN_PX = 2  # most video codecs need even sides

SizeSpec = tuple[int, int] | Literal["source"] | None
"""(height, width); "source" for the size of the frame; or None for the default.

The default of the network is the size of the model as the short side, with the aspect ratio of the
frame, or the size of a smaller frame. The default of the output is the size of the frame."""


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
        output_size: size of the result, to which the output of the network is upsampled;
            `image_size` by default.
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
    output_size: SizeSpec | Literal["network"] = None,
    tiled: bool = False,
) -> Geometry:
    """Choose the sizes of a translation.

    Args:
        frame_size: (height, width) of the frames.
        metadata: of the model.
        size: size of the image that the network translates.
        sample_aspect_ratio: width / height of the pixels of the frames.
        output_size: size of the result; "network" for that of the translated image, in the aspect
            ratio of the frame unless `size` is given.
        tiled: the network translates tiles, so the image may have any size; by default that of
            the frame.

    Raises:
        UsageError: the model does not accept the size.
    """
    height, width = frame_size
    network_output: tuple[int, int] | None = None
    if tiled:
        image_size = frame_size if size in (None, "source") else _as_height_width(size)
        if not metadata.dynamic and any(map(operator.lt, image_size, metadata.size)):
            fixed = format_size(metadata.size)
            raise UsageError(
                f"the model takes {fixed} only, and the image is not larger; omit --tile"
            )
    elif not metadata.dynamic:
        if size is not None and size != metadata.size:
            fixed = format_size(metadata.size)
            raise UsageError(
                f"the model takes {fixed} only; omit --size, export it again, or use --tile"
            )
        image_size = metadata.size
        if size is None and output_size == "network":
            network_output = _scale_short_side(
                frame_size,
                sample_aspect_ratio,
                Fraction(min(metadata.size)),
                _EVEN_PX,
                "--output-size",
            )
    elif size == "source":
        image_size = frame_size
    elif size is not None:
        image_size = size
    else:
        image_size = _default_image_size(frame_size, sample_aspect_ratio, metadata)
    if min(image_size) < MIN_SIDE_PX:
        raise UsageError(
            f"an image of {format_size(image_size)} is too small; "
            f"the minimum is {MIN_SIDE_PX} pixels per side"
        )
    tensor_size = round_up_to_multiple(image_size, metadata.multiple)
    if output_size == "network":
        final_size = network_output or image_size
    else:
        final_size = (
            frame_size if output_size in (None, "source") else _as_height_width(output_size)
        )
    # Padding by reflection less than doubles a side; a smaller image is scaled up and back.
    image_size = _select_sides(image_size, tensor_size)
    output_aspect = sample_aspect_ratio * Fraction(width * final_size[0], height * final_size[1])
    return Geometry(image_size, tensor_size, output_aspect, final_size)


def _select_sides(image_size: tuple[int, int], tensor_size: tuple[int, int]) -> tuple[int, int]:
    height, width = (
        side if padded < 2 * side else padded
        for side, padded in zip(image_size, tensor_size, strict=True)
    )
    return height, width


def _default_image_size(
    frame_size: tuple[int, int], sample_aspect_ratio: Fraction, metadata: ModelMetadata
) -> tuple[int, int]:
    """Return the displayed size of the frame, or less if the training size is less."""
    training_side = min(metadata.size)
    shown_side = min(Fraction(frame_size[0]), frame_size[1] * sample_aspect_ratio)
    is_tiny = min(shown_side, Fraction(min(frame_size))) < MIN_SIDE_PX  # and is scaled up
    if shown_side <= training_side and sample_aspect_ratio == 1 and not is_tiny:
        return frame_size
    return _scale_short_side(
        frame_size,
        sample_aspect_ratio,
        Fraction(training_side) if is_tiny else min(shown_side, Fraction(training_side)),
        metadata.multiple if metadata.multiple <= _MAX_ROUNDING_PX else _EVEN_PX,
        "--size",
    )


def _scale_short_side(
    frame_size: tuple[int, int],
    sample_aspect_ratio: Fraction,
    short_side: Fraction,
    multiple: int,
    flag: str,
) -> tuple[int, int]:
    """Return the displayed (height, width) scaled to a short side, in multiples."""
    height, width = frame_size[0], frame_size[1] * sample_aspect_ratio
    scale = short_side / min(Fraction(height), width)
    scaled = (
        _round_to_multiple(height * scale, multiple),
        _round_to_multiple(width * scale, multiple),
    )
    if max(scaled) > MAX_SIDE_PX:
        raise UsageError(
            f"an image of {format_size(frame_size)} is too long and narrow: it would become "
            f"{format_size(scaled)}; give {flag} source or a size"
        )
    return scaled


def _as_height_width(size: SizeSpec | Literal["network"]) -> tuple[int, int]:
    assert isinstance(size, tuple)
    return size


def _round_to_multiple(side: Fraction, multiple: int) -> int:
    return max(multiple, round(side / multiple) * multiple)
