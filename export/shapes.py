"""Input shapes of a graph: fixed sizes, or ranges with an optimum."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from cgt.runtime.errors import UsageError

MIN_SIDE_PX = 16

Shape = tuple[int, int, int]
"""Batch, height, width."""


@dataclass(frozen=True)
class ShapeProfile:
    """Range of shapes from min to max; an engine is optimized for opt."""

    min: Shape
    opt: Shape
    max: Shape

    def to_json(self) -> dict[str, Any]:
        return {"min": list(self.min), "opt": list(self.opt), "max": list(self.max)}


@dataclass(frozen=True)
class InputShapes:
    """Shapes that a graph takes; without a profile, any batch and any size."""

    profiles: tuple[ShapeProfile, ...] = ()

    def fixed_size(self, axis: int) -> int | None:
        """Return the fixed batch (axis 0), height (1) or width (2), or None if it varies."""
        values = {shape[axis] for p in self.profiles for shape in (p.min, p.max)}
        return values.pop() if len(values) == 1 else None

    def usual_size(self, default: tuple[int, int]) -> tuple[int, int]:
        """Return the fixed or the optimal (height, width); `default` without a profile."""
        return self.profiles[0].opt[1:] if self.profiles else default


def parse_shapes(
    size: str | None, batch: str | None, multiple: int, default_size: tuple[int, int]
) -> InputShapes:
    """Parse the texts of --size and --batch.

    Args:
        size: "256", "512x256" (width x height), "128..1024", "256x128..1024x512", or
            "128..256..1024" with the optimum in the middle. Commas separate several profiles. None
            allows any size.
        batch: "1", "1..8" or "1..4..8". None is 1 if a size is given, else any.
        multiple: The network needs sides that are multiples of it.
        default_size: (height, width) that the network was trained with. The optimum is the size
            nearest to it, and the smallest batch.

    Raises:
        UsageError: A text is invalid, a side is not a multiple, or below MIN_SIDE_PX.
    """
    if size is None:
        if batch is not None:
            raise UsageError(
                "--batch goes with --size; without --size the model takes any batch and size"
            )
        return InputShapes()
    batch_range = _parse_batch(batch or "1")
    profiles = []
    for text in size.split(","):
        points = [
            _parse_size(text, point, multiple) for point in _split_range(f"--size {text}", text)
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
    points = text.lower().split("..")
    if len(points) > 3:
        raise UsageError(f"{flag} is not a range; write 128..1024, or 128..256..1024")
    return points


def _parse_size(text: str, point: str, multiple: int) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", point.strip())
    if not match:
        raise UsageError(
            f"--size {text} is not a size; write 256, 512x256 (width x height) or 128..1024"
        )
    sides = int(match[2] or match[1]), int(match[1])  # height, width
    for side in sides:
        if side < MIN_SIDE_PX:
            raise UsageError(
                f"--size {text} is too small; the minimum is {max(MIN_SIDE_PX, multiple)}"
            )
        if side % multiple:
            below = max(side // multiple, 1) * multiple
            near = f"{below}" if below > side else f"{below} or {below + multiple}"
            raise UsageError(
                f"--size {text}: this network needs multiples of {multiple}; use {near}"
            )
    return sides


def _parse_batch(text: str) -> Shape:
    points = _split_range(f"--batch {text}", text)
    if not all(re.fullmatch(r"[1-9]\d{0,3}", point.strip()) for point in points):
        raise UsageError(f"--batch {text} is not a batch; write 1 or 1..8")
    counts = [int(point) for point in points]
    min_batch, opt_batch, max_batch = (
        counts[0],
        counts[1] if len(counts) == 3 else counts[0],
        counts[-1],
    )
    if not min_batch <= opt_batch <= max_batch:
        raise UsageError(f"--batch {text} must go from small to large")
    return min_batch, opt_batch, max_batch
