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


def parse_size(text: str, flag: str = "--size") -> tuple[int, int] | Literal["source"]:
    """ "256" is a square, "256x512" HEIGHTxWIDTH, "source" the frame's own. Raises UsageError."""
    if text == "source":
        return "source"
    sides = text.lower().split("x")
    if len(sides) <= 2 and all(side.isdecimal() and 0 < int(side) <= 16384 for side in sides):
        return int(sides[0]), int(sides[-1])
    raise UsageError(f"{flag} {text} is not a size; write 256, 256x512 (height x width) or source")


@dataclass(frozen=True)
class Geometry:
    """picture: (height, width) of the translated picture. tensor: the same, padded to what the
    network takes. output: what the picture is resized to before it is written; the picture's own
    size by default. aspect: width / height of one pixel of the output, so that what is shown keeps
    its shape."""

    picture: tuple[int, int]
    tensor: tuple[int, int]
    aspect: Fraction = Fraction(1)
    output: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if self.output == (0, 0):
            object.__setattr__(self, "output", self.picture)


def plan(
    frame: tuple[int, int],
    artifact: Artifact,
    size: Size = None,
    aspect: Fraction = Fraction(1),
    *,
    output: Size = None,
    tiled: bool = False,
) -> Geometry:
    """frame: (height, width) of the source, with pixels of `aspect`. output: (height, width) of
    what is written, "source" for the frame's own, or None for the network's. tiled: the network
    sees tiles, so the picture may have any size, and has the frame's own by default.

    Raises UsageError where the model cannot take the size that was asked for.
    """
    height, width = frame
    if tiled:
        picture = frame if size in (None, "source") else _given(size)
    elif not artifact.dynamic:
        if size is not None and size != artifact.size:
            fixed = "x".join(map(str, artifact.size))
            raise UsageError(
                f"the model takes {fixed} only; leave --size out, export it anew, or use --tile"
            )
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
    if min(picture) < 16:
        raise UsageError(f"a picture of {picture[0]}x{picture[1]} is too small; 16 is the least")
    written = frame if output == "source" else output or picture
    shape = aspect * Fraction(width * written[0], height * written[1])
    return Geometry(picture, padded(picture, artifact.multiple), shape, written)


def _given(size: Size) -> tuple[int, int]:
    assert isinstance(size, tuple)
    return size


def _nearest(side: Fraction, multiple: int) -> int:
    return max(multiple, round(side / multiple) * multiple)
