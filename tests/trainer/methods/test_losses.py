"""Tests of the losses against NumPy."""

import numpy as np
import pytest
import torch

from cgt.trainer.methods.losses import GAN_LOSSES, PIXEL_LOSSES


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


NUMPY_LOSSES = {
    "lsgan": (
        lambda x: np.mean((x - 1) ** 2),
        lambda x: np.mean(x**2),
        lambda x: np.mean((x - 1) ** 2),
    ),
    "vanilla": (
        lambda x: np.mean(-np.log(sigmoid(x))),
        lambda x: np.mean(-np.log(1 - sigmoid(x))),
        lambda x: np.mean(-np.log(sigmoid(x))),
    ),
    "hinge": (
        lambda x: np.mean(np.maximum(0, 1 - x)),
        lambda x: np.mean(np.maximum(0, 1 + x)),
        lambda x: np.mean(-x),
    ),
}


@pytest.mark.parametrize("name", GAN_LOSSES)
def test_gan_losses(name: str) -> None:
    x = np.random.default_rng(0).normal(0, 2, size=(2, 1, 5, 5))
    loss = GAN_LOSSES[name]
    functions = (loss.real, loss.fake, loss.generator)
    for function, expected in zip(functions, NUMPY_LOSSES[name], strict=True):
        assert function(torch.from_numpy(x)).item() == pytest.approx(expected(x), rel=1e-6)


def test_pixel_losses() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 2, 3, 5, 5))
    a, b = torch.from_numpy(x), torch.from_numpy(y)
    assert PIXEL_LOSSES["l1"](a, b).item() == pytest.approx(np.mean(np.abs(x - y)), rel=1e-6)
    assert PIXEL_LOSSES["l2"](a, b).item() == pytest.approx(np.mean((x - y) ** 2), rel=1e-6)


def test_bf16_logits_are_averaged_in_fp32() -> None:
    x = torch.full((1, 1, 64, 64), 0.1, dtype=torch.bfloat16)
    for loss in GAN_LOSSES.values():
        assert loss.generator(x).dtype == torch.float32
