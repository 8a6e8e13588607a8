"""Tests of the timestamp strip and of the color detection."""

from __future__ import annotations

import av
import numpy as np
import pytest

from cgt.serve.streaming.color_detection import YuvToRgbConverter
from cgt.serve.streaming.timestamp import (
    STRIP_HEIGHT_PX,
    TIMESTAMP_PERIOD_MS,
    embed_timestamp,
    extract_timestamp,
    to_timestamp,
)
from conftest import make_image


@pytest.mark.parametrize(("height", "width"), [(48, 64), (250, 333), (1024, 1024)])
def test_round_trip(height: int, width: int) -> None:
    image = make_image(1, height, width)
    for timestamp in (0, 1, 0xABCDE, TIMESTAMP_PERIOD_MS - 1):
        frame = embed_timestamp(image, timestamp)
        assert frame.shape == (height + STRIP_HEIGHT_PX, width, 3)
        found = extract_timestamp(frame)
        assert found is not None
        np.testing.assert_array_equal(found[0], image)
        assert found[1] == timestamp


def test_images_without_a_timestamp() -> None:
    assert extract_timestamp(make_image(1, 64, 64)) is None
    assert extract_timestamp(make_image(1, 64, 64)[:STRIP_HEIGHT_PX]) is None
    assert extract_timestamp(np.zeros((64, 1, 3), np.uint8)) is None


def test_timestamps_are_milliseconds_and_wrap() -> None:
    assert to_timestamp(1.2345) == 1234
    assert to_timestamp(TIMESTAMP_PERIOD_MS / 1000 + 0.007) == 7


@pytest.mark.parametrize("matrix", ["ITU601", "ITU709"])
@pytest.mark.parametrize("color_range", ["MPEG", "JPEG"])
def test_color_chart_reveals_the_yuv_variant(matrix: str, color_range: str) -> None:
    image = np.full((64, 128, 3), (200, 120, 40), np.uint8)
    frame = av.VideoFrame.from_ndarray(embed_timestamp(image, 5), "rgb24").reformat(
        format="yuv420p", dst_colorspace=matrix, dst_color_range=color_range
    )
    found = extract_timestamp(YuvToRgbConverter()(frame))
    assert found is not None
    assert found[1] == 5
    assert np.abs(found[0].astype(int) - image)[:-2].max() < 6
