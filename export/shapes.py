"""Which sizes a graph takes: fixed ones, or ranges with a best point."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from cgt.runtime.errors import UsageError

MIN_SIDE_PX = 16  # pixels of a side

Shape = tuple[int, int, int]
"""Batch, height, width."""


@dataclass(frozen=True)
class ShapeProfile:
    """From min to max, with opt where an engine shall be best."""

    min: Shape
    opt: Shape
    max: Shape

    def to_json(self) -> dict[str, Any]:
        return {"min": list(self.min), "opt": list(self.opt), "max": list(self.max)}


@dataclass(frozen=True)
class InputShapes:
    """No profile: any batch and any size."""

    profiles: tuple[ShapeProfile, ...] = ()

    def fixed_size(self, axis: int) -> int | None:
        """The one value of batch (0), height (1) or width (2), or None where it varies."""
        values = {shape[axis] for p in self.profiles for shape in (p.min, p.max)}
        return values.pop() if len(values) == 1 else None


def parse_shapes(
    size: str | None, batch: str | None, multiple: int, default_size: tuple[int, int]
) -> InputShapes:
    """size: "256", "512x256" (width x height), "128..1024", "256x128..1024x512",
    "128..256..1024" with the best in the middle; several with commas, each a profile. batch: "1",
    "1..8", "1..4..8". The best size is by default the trained one, or what is nearest to it, the
    best batch the least. batch is 1 where only a size is given; without a size any goes.

    Raises UsageError for what cannot be read, sides that are no multiple of what the network
    needs, and sides below LEAST.
    """
    if size is None:
        if batch is not None:
            raise UsageError("--batch goes with --size; without it any batch and size can be had")
        return InputShapes()
    batch_range = _parse_batch(batch or "1")
    profiles = []
    for text in size.split(","):
        points = [
            _parse_size(text, part, multiple) for part in _split_range(f"--size {text}", text)
        ]
        low, high = points[0], points[-1]
        nearest = tuple(
            min(max(side, a), b) for side, a, b in zip(default_size, low, high, strict=True)
        )
        best = points[1] if len(points) == 3 else nearest
        if any(a > b for pair in pairwise((low, best, high)) for a, b in zip(*pair, strict=True)):
            raise UsageError(f"--size {text} must go from small to large")
        min_batch, opt_batch, max_batch = batch_range
        profiles.append(
            ShapeProfile((min_batch, *low), (opt_batch, best[0], best[1]), (max_batch, *high))
        )
    return InputShapes(tuple(profiles))


def _split_range(flag: str, text: str) -> list[str]:
    parts = text.lower().split("..")
    if len(parts) > 3:
        raise UsageError(f"{flag} is not a range; write 128..1024, or 128..256..1024")
    return parts


def _parse_size(text: str, part: str, multiple: int) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", part.strip())
    if not match:
        raise UsageError(
            f"--size {text} is not a size; write 256, 512x256 (width x height) or 128..1024"
        )
    sides = int(match[2] or match[1]), int(match[1])  # height, width
    for side in sides:
        if side < MIN_SIDE_PX:
            raise UsageError(
                f"--size {text} is too small; {max(MIN_SIDE_PX, multiple)} is the least"
            )
        if side % multiple:
            below = max(side // multiple, 1) * multiple
            near = f"{below}" if below > side else f"{below} or {below + multiple}"
            raise UsageError(
                f"--size {text}: this network needs multiples of {multiple}; take {near}"
            )
    return sides


def _parse_batch(text: str) -> Shape:
    parts = _split_range(f"--batch {text}", text)
    if not all(re.fullmatch(r"[1-9]\d{0,3}", part.strip()) for part in parts):
        raise UsageError(f"--batch {text} is not a batch; write 1 or 1..8")
    counts = [int(part) for part in parts]
    min_batch, opt_batch, max_batch = (
        counts[0],
        counts[1] if len(counts) == 3 else counts[0],
        counts[-1],
    )
    if not min_batch <= opt_batch <= max_batch:
        raise UsageError(f"--batch {text} must go from small to large")
    return min_batch, opt_batch, max_batch
