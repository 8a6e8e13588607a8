"""Parsing of --size and --batch."""

from __future__ import annotations

import pytest

from cgt.export.shapes import InputShapes, ShapeProfile, parse_shapes
from cgt.runtime.errors import UsageError

VALID_SHAPES = [
    ("256", None, [((1, 256, 256),) * 3]),
    ("512x256", "4", [((4, 256, 512),) * 3]),
    ("128..1024", "1..8", [((1, 128, 128), (1, 200, 240), (8, 1024, 1024))]),
    ("256x512..1024", None, [((1, 512, 256), (1, 512, 256), (1, 1024, 1024))]),
    ("64..96..128", "1..4..8", [((1, 64, 64), (4, 96, 96), (8, 128, 128))]),
    ("64,128..256", None, [((1, 64, 64),) * 3, ((1, 128, 128), (1, 200, 240), (1, 256, 256))]),
]


@pytest.mark.parametrize(("size", "batch", "profiles"), VALID_SHAPES)
def test_valid_shapes(size: str, batch: str | None, profiles: list) -> None:
    shapes = parse_shapes(size, batch, 4, (200, 240))
    assert shapes.profiles == tuple(ShapeProfile(*points) for points in profiles)


def test_fixed_sizes() -> None:
    assert [InputShapes().fixed_size(axis) for axis in range(3)] == [None, None, None]
    some = parse_shapes("128x256..512x256", "2", 4, (256, 256))
    assert [some.fixed_size(axis) for axis in range(3)] == [2, 256, None]
    two = parse_shapes("256,512", None, 4, (256, 256))
    assert two.fixed_size(1) is None


@pytest.mark.parametrize(
    ("size", "batch", "words"),
    [
        ("7", None, "too small; the minimum is 16"),
        ("250", None, "multiples of 4; use 248 or 252"),
        ("big", None, "not a size"),
        ("256x", None, "not a size"),
        ("-256", None, "not a size"),
        ("512..256", None, "small to large"),
        ("128..64..256", None, "small to large"),
        ("1..2..3..4", None, "not a range"),
        ("256", "0", "not a batch"),
        ("256", "8..1", "small to large"),
        (None, "2", "--batch goes with --size"),
    ],
)
def test_invalid_shapes(size: str | None, batch: str | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_shapes(size, batch, 4, (256, 256))


def test_unet_needs_larger_multiples() -> None:
    with pytest.raises(UsageError, match="multiples of 256; use 256"):
        parse_shapes("128", None, 256, (256, 256))
