"""Which size the network sees, and what becomes of the picture's aspect."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from .artifact import Artifact
from .errors import UsageError
from .preprocess import padded

Size = tuple[int, int] | Literal["source"] | None
"""(height, width); the frame's own; or None: the model's size as the short side, aspect kept."""


def parse_size(text: str) -> tuple[int, int] | Literal["source"]:
    """ "256" is a square, "256x512" HEIGHTxWIDTH, "source" the frame's own. Raises UsageError."""
    if text == "source":
        return "source"
    sides = text.lower().split("x")
    if len(sides) <= 2 and all(side.isdecimal() and 0 < int(side) <= 16384 for side in sides):
        return int(sides[0]), int(sides[-1])
    raise UsageError(f"--size {text} is not a size; write 256, 256x512 (height x width) or source")


@dataclass(frozen=True)
class Geometry:
    """picture: (height, width) of the translated picture. tensor: the same, padded to what the
    network takes. aspect: width / height of one pixel, so that the picture keeps its shape."""

    picture: tuple[int, int]
    tensor: tuple[int, int]
    aspect: Fraction = Fraction(1)


def plan(
    frame: tuple[int, int], artifact: Artifact, size: Size = None, aspect: Fraction = Fraction(1)
) -> Geometry:
    """frame: (height, width) of the source, with pixels of `aspect`.

    Raises UsageError where the model cannot take the size that was asked for.
    """
    height, width = frame
    if not artifact.dynamic:
        if size is not None and size != artifact.size:
            fixed = "x".join(map(str, artifact.size))
            raise UsageError(f"the model takes {fixed} only; leave --size out or export it anew")
        picture = artifact.size
    elif size == "source":
        picture = frame
    elif size is not None:
        picture = size
    else:
        shown_width = width * aspect
        scale = min(artifact.size) / min(Fraction(height), shown_width)
        picture = (
            _nearest(height * scale, artifact.multiple),
            _nearest(shown_width * scale, artifact.multiple),
        )
    tensor = padded(picture, artifact.multiple)
    if min(picture) < 16:
        raise UsageError(f"a picture of {picture[0]}x{picture[1]} is too small; 16 is the least")
    return Geometry(picture, tensor, aspect * Fraction(width * picture[0], height * picture[1]))


def _nearest(side: Fraction, multiple: int) -> int:
    return max(multiple, round(side / multiple) * multiple)
