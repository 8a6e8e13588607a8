"""Tests of feature distances and image metrics against torchmetrics."""

import numpy as np
import pytest
import torch

from cgt.runtime.image.metrics import MAX_PSNR_DB, image_similarity, l1, psnr, ssim
from cgt.trainer.evaluation.distances import frechet_distance, kernel_distance
from conftest import make_image


def random_features(n: int, m: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    mixing = rng.normal(size=(d, d))
    return rng.normal(size=(n, d)) @ mixing, rng.normal(0.3, 1.2, size=(m, d)) @ mixing


@pytest.mark.parametrize(("n", "m", "d"), [(40, 50, 8), (12, 15, 64)])
def test_frechet_distance_matches_torchmetrics(n: int, m: int, d: int) -> None:
    """Compare with more images than features, and with fewer."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    x, y = random_features(n, m, d)
    features = torch.nn.Identity()
    features.num_features = d
    metric = FrechetInceptionDistance(features).set_dtype(torch.float64)
    metric.update(torch.from_numpy(x), real=True)
    metric.update(torch.from_numpy(y), real=False)
    assert frechet_distance(x, y) == pytest.approx(metric.compute().item(), rel=1e-4)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-8)


def test_kernel_distance_matches_torchmetrics() -> None:
    from torchmetrics.image.kid import poly_mmd

    x, y = random_features(20, 20, 6)
    expected = poly_mmd(torch.from_numpy(x), torch.from_numpy(y)).item()
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-9)


def test_kernel_distance_is_unbiased() -> None:
    """Average the distance between samples of one distribution; it must be zero."""
    rng = np.random.default_rng(0)
    distances = [kernel_distance(*rng.normal(size=(2, 15, 4))) for _ in range(300)]
    assert abs(np.mean(distances)) < 3 * np.std(distances) / np.sqrt(300)


def test_image_metrics_match_torchmetrics() -> None:
    from torchmetrics.functional.image import (
        peak_signal_noise_ratio,
        structural_similarity_index_measure,
    )

    a = make_image(0, 64, 48)
    noise = np.random.default_rng(0).normal(0, 20, a.shape)
    b = np.clip(a + noise, 0, 255).astype(np.uint8)
    x, y = (torch.from_numpy(z).permute(2, 0, 1)[None].double() for z in (a, b))
    expected_ssim = structural_similarity_index_measure(x, y, data_range=255.0, kernel_size=11)
    assert ssim(a, b) == pytest.approx(expected_ssim.item(), abs=2e-3)  # torchmetrics pads
    expected_psnr = peak_signal_noise_ratio(x, y, data_range=255.0).item()
    assert psnr(a, b) == pytest.approx(expected_psnr, rel=1e-6)
    assert l1(a, b) == pytest.approx((x - y).abs().mean().item() / 255)
    assert image_similarity([(a, a)]) == {"psnr": MAX_PSNR_DB, "ssim": pytest.approx(1), "l1": 0}
