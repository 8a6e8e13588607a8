"""Distillation losses compared with their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cgt.distill.losses import RandomMotion, feature_loss, ssim_loss, temporal_loss, tv_loss
from cgt.runtime.image.metrics import ssim


def pixels(x: torch.Tensor) -> np.ndarray:
    return ((x[0].permute(1, 2, 0).numpy() + 1) * 127.5).round().astype(np.uint8)


def test_ssim_equals_that_of_the_evaluation() -> None:
    torch.manual_seed(0)
    a = torch.randint(0, 256, (1, 3, 40, 52)) / 127.5 - 1
    b = (0.8 * a + 0.1 * torch.rand_like(a)).mul(127.5).round() / 127.5
    exact = ssim_loss(a, b)
    assert float(1 - exact) == pytest.approx(ssim(pixels(a), pixels(b)), abs=2e-3)
    assert float(ssim_loss(a, a)) == pytest.approx(0, abs=1e-5)
    with torch.autocast("cpu", torch.bfloat16):  # as in a training step
        assert torch.equal(ssim_loss(a, b).detach(), exact)


def test_total_variation_of_a_ramp_is_its_slope() -> None:
    ramp = torch.arange(8.0).repeat(1, 3, 8, 1) / 10
    assert float(tv_loss(ramp)) == pytest.approx(0.1, abs=1e-6)


def test_feature_loss_ignores_scale() -> None:
    a = torch.rand(2, 5, 4, 4) + 0.1
    assert float(feature_loss(a, 3 * a)) == pytest.approx(0, abs=1e-6)
    assert float(feature_loss(a, -a)) == pytest.approx(2, abs=1e-6)


@pytest.mark.parametrize(("down", "right"), [(0, 0), (3, -2), (-7, 7), (1, 5)])
def test_outputs_that_move_with_the_input_have_no_temporal_loss(down: int, right: int) -> None:
    """Compare a student that processes pixels independently with one that depends on position."""
    x, motion = torch.rand(2, 3, 24, 32) * 2 - 1, RandomMotion(down, right, 0.0)

    def pixelwise(x: torch.Tensor) -> torch.Tensor:
        return x.square()

    def positional(x: torch.Tensor) -> torch.Tensor:
        return x * torch.linspace(0, 1, 32)

    assert float(temporal_loss(pixelwise(x), pixelwise(motion.next_frame(x)), motion)) == 0
    loss = float(temporal_loss(positional(x), positional(motion.next_frame(x)), motion))
    assert (loss > 0.005) == bool(right)


def test_temporal_loss_measures_amplified_noise() -> None:
    torch.manual_seed(0)
    x, motion = torch.rand(1, 3, 32, 32), RandomMotion(2, 2, 0.02)
    loss = float(temporal_loss(5 * x, 5 * motion.next_frame(x), motion))
    assert loss == pytest.approx(5 * 0.02 * (2 / np.pi) ** 0.5, rel=0.1)


def test_motions_cover_their_range() -> None:
    torch.manual_seed(0)
    motions = [RandomMotion.sample() for _ in range(200)]
    assert {m.down for m in motions} == {m.right for m in motions} == set(range(-7, 8))
    assert all(0 <= m.noise_std < RandomMotion.MAX_NOISE_STD for m in motions)
