"""Evaluation of a finished student."""

from __future__ import annotations

import numpy as np
import pytest

from cgt.distill.report import OutputCollector
from cgt.runtime.errors import DataError
from cgt.runtime.image.preprocess import U8
from cgt.trainer.evaluation.report import TranslateFn


def brighter(by: int) -> TranslateFn:
    def translate(image: U8) -> U8:
        # As with a norm, the output for a blank image is unrelated to that for other images.
        return image + np.uint8(by) if image.std() else np.full_like(image, 200 * (by % 2))

    return translate


def test_blank_images_are_skipped() -> None:
    """Check that a student with half of the teacher's change has a skill of three quarters."""
    photo = np.random.default_rng(0).integers(0, 99, (32, 32, 3), np.uint8)
    outputs = OutputCollector(brighter(40), {"half": brighter(20), "odd": brighter(21)})
    for image in (np.zeros_like(photo), photo, np.full_like(photo, 255), photo):
        outputs.add(image)
    metrics = outputs.metrics_by_student("video.mp4")
    assert metrics["count"] == 2
    assert metrics["half"]["mse_skill"] == pytest.approx(0.75)
    assert metrics["odd"]["mse_skill"] == pytest.approx(1 - (19 / 40) ** 2)


def test_only_blank_images_are_an_error() -> None:
    outputs = OutputCollector(brighter(40), {"half": brighter(20)})
    outputs.add(np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(DataError, match=r"video\.mp4 cannot be used for evaluation"):
        outputs.metrics_by_student("video.mp4")
