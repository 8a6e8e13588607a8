"""What a finished student is measured on."""

from __future__ import annotations

import numpy as np
import pytest

from cgt.distill.report import OutputCollector
from cgt.runtime.errors import DataError
from cgt.runtime.image.preprocess import U8
from cgt.trainer.evaluation.report import TranslateFn


def brighter(by: int) -> TranslateFn:
    def translate(image: U8) -> U8:
        # What a norm makes of nothing has nothing to do with what it makes of a picture.
        return image + np.uint8(by) if image.std() else np.full_like(image, 200 * (by % 2))

    return translate


def test_blank_pictures_do_not_count() -> None:
    """A student that changes half of what its teacher does explains three quarters, whatever
    either makes of black."""
    picture = np.random.default_rng(0).integers(0, 99, (32, 32, 3), np.uint8)
    answers = OutputCollector(brighter(40), {"half": brighter(20), "odd": brighter(21)})
    for image in (np.zeros_like(picture), picture, np.full_like(picture, 255), picture):
        answers.add(image)
    found = answers.metrics_by_student("film.mp4")
    assert found["count"] == 2
    assert found["half"]["mse_skill"] == pytest.approx(0.75)
    assert found["odd"]["mse_skill"] == pytest.approx(1 - (19 / 40) ** 2)


def test_all_of_them_blank_is_an_error() -> None:
    answers = OutputCollector(brighter(40), {"half": brighter(20)})
    answers.add(np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(DataError, match=r"film\.mp4 cannot be measured on"):
        answers.metrics_by_student("film.mp4")
