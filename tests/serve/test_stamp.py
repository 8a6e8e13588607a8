"""Numbers that travel within pictures."""

from __future__ import annotations

import av
import numpy as np
import pytest

from cgt.serve.colors import Colors
from cgt.serve.stamp import STRIP, WRAP, stamp_of, stamped, unstamped
from conftest import picture


@pytest.mark.parametrize(("height", "width"), [(48, 64), (250, 333), (1024, 1024)])
def test_what_was_stamped_is_read(height: int, width: int) -> None:
    image = picture(1, height, width)
    for stamp in (0, 1, 0xABCDE, WRAP - 1):
        frame = stamped(image, stamp)
        assert frame.shape == (height + STRIP, width, 3)
        found = unstamped(frame)
        assert found is not None
        np.testing.assert_array_equal(found[0], image)
        assert found[1] == stamp


def test_a_picture_without_a_stamp_has_none() -> None:
    assert unstamped(picture(1, 64, 64)) is None
    assert unstamped(picture(1, 64, 64)[:STRIP]) is None
    assert unstamped(np.zeros((64, 1, 3), np.uint8)) is None


def test_stamps_are_milliseconds_and_begin_again() -> None:
    assert stamp_of(1.2345) == 1234
    assert stamp_of(WRAP / 1000 + 0.007) == 7


@pytest.mark.parametrize("matrix", ["ITU601", "ITU709"])
@pytest.mark.parametrize("span", ["MPEG", "JPEG"])
def test_the_chart_tells_what_was_meant_by_the_numbers(matrix: str, span: str) -> None:
    image = np.full((64, 128, 3), (200, 120, 40), np.uint8)
    frame = av.VideoFrame.from_ndarray(stamped(image, 5), "rgb24").reformat(
        format="yuv420p", dst_colorspace=matrix, dst_color_range=span
    )
    found = unstamped(Colors()(frame))
    assert found is not None
    assert found[1] == 5
    assert np.abs(found[0].astype(int) - image)[:-2].max() < 6
