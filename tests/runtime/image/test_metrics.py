"""Image similarity metrics: known values, the cap and invalid numbers.

tests/trainer/evaluation/test_distances.py compares them with torchmetrics.
"""

import numpy as np
import pytest

from cgt.runtime.image.metrics import (
    MAX_PSNR_DB,
    image_similarity,
    l1,
    mse,
    psnr,
    psnr_from_mse,
    ssim,
)
from conftest import make_image


def test_known_values() -> None:
    black, gray = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 51, np.uint8)
    assert mse(black, gray) == mse(gray, black) == 51**2
    assert l1(black, gray) == pytest.approx(0.2)
    assert psnr(black, gray) == pytest.approx(20 * np.log10(5))


def test_equal_arrays_have_the_largest_psnr() -> None:
    image = make_image(0, 32, 24)
    assert psnr(image, image) == psnr_from_mse(0.0) == MAX_PSNR_DB
    assert psnr_from_mse(1e-30) == MAX_PSNR_DB
    assert image_similarity([(image, image)]) == {
        "psnr": MAX_PSNR_DB,
        "ssim": pytest.approx(1),
        "l1": 0,
    }


def test_the_range_of_the_data_scales_psnr_and_ssim() -> None:
    a, b = make_image(0, 32, 24), make_image(1, 32, 24)
    x, y = a / 255.0, b / 255.0
    assert psnr(x, y, data_range=1) == pytest.approx(psnr(a, b))
    assert ssim(x, y, data_range=1) == pytest.approx(ssim(a, b))


def test_values_that_are_not_finite_have_no_psnr() -> None:
    zeros = np.zeros((16, 16, 3), np.float32)
    assert psnr(zeros * np.nan, zeros, data_range=2) == psnr_from_mse(float("inf")) == 0
