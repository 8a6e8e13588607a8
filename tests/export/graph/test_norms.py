"""Frozen, folded and external statistics of norms."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from cgt.export.config import NormPrecision
from cgt.export.graph.norms import (
    DecomposedNorm,
    ExternalStatistics,
    fold_norms,
    freeze_norms,
    split_large_sums,
    statistics_size,
)
from cgt.export.graph.reduced_precision import ReducedPrecision
from cgt.export.graph.trace import GraphInterface, trace
from cgt.runtime.engines import BatchShape, open_engine
from cgt.runtime.errors import UsageError


def network(affine: bool = True) -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.InstanceNorm2d(4, affine=affine),
        nn.ReLU(),
        nn.ConvTranspose2d(4, 2, 2, 2),
        nn.InstanceNorm2d(2, affine=affine),
        nn.Conv2d(2, 3, 1),
    )
    for module in layers.modules():
        if affine and isinstance(module, nn.InstanceNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -1, 1)
    return layers.eval()


def random_images(count: int, *size: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.uniform(-1, 1, (3, *size)).astype(np.float32) * 0.7 + 0.1 for _ in range(count)]


@pytest.mark.parametrize("affine", [False, True])
def test_frozen_on_one_image_equals_instance_norm_on_it(affine: bool) -> None:
    original = network(affine)
    frame, other = random_images(2, 24, 20)
    frozen = copy.deepcopy(original)
    freeze_norms(frozen, [frame])
    fold_norms(frozen)
    assert [type(m).__name__ for m in frozen] == [
        *("Conv2d", "Identity", "ReLU", "ConvTranspose2d", "Identity", "Conv2d")
    ]
    with torch.no_grad():
        x, y = (torch.from_numpy(v[None]) for v in (frame, other * 2))
        torch.testing.assert_close(frozen(x), original(x), atol=2e-5, rtol=0)
        assert (frozen(y) - original(y)).abs().max() > 0.1  # differs on another image


def test_frozen_statistics_are_means_over_images() -> None:
    original = network()
    frames = random_images(3, 16, 16)
    freeze_norms(original, frames)
    with torch.no_grad():
        outs = [original[0](torch.from_numpy(frame)) for frame in frames]
    means = torch.stack([out.mean((1, 2)) for out in outs]).mean(0)
    variances = torch.stack([out.var((1, 2), correction=0) for out in outs]).mean(0)
    torch.testing.assert_close(original[1].running_mean, means)
    torch.testing.assert_close(original[1].running_var, variances)


def test_batch_norms_fold_exactly() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    layers(torch.randn(8, 3, 16, 16))  # updates the running statistics
    layers.eval()
    x = torch.randn(1, 3, 16, 16)
    expected = layers(x)
    fold_norms(layers)
    assert isinstance(layers[1], nn.Identity)
    torch.testing.assert_close(layers(x), expected)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("norm_precision", [None, "fp32", "mixed"])
def test_external_statistics(
    engine: str, norm_precision: NormPrecision | None, tmp_path: Path
) -> None:
    """Both engines follow the contract of runtime/models/metadata.py."""
    original = network()
    inner: nn.Module = copy.deepcopy(original)
    if norm_precision is not None:
        inner = ReducedPrecision(inner, torch.float16, norm_precision)
    streamed = ExternalStatistics(inner)
    size = statistics_size(original)
    assert size == streamed.statistics == 1 + 2 * (4 + 2)
    path, near = tmp_path / "m.onnx", 2e-2 if norm_precision else 2e-4
    onnx.save(trace(streamed, GraphInterface(statistics=size)), path)
    onnx.checker.check_model(path, full_check=True)
    frame, other = random_images(2, 16, 20)
    other = np.ascontiguousarray(other * 0.3 - 0.5)
    with torch.no_grad():
        own, its = (original(torch.from_numpy(v[None])).numpy() for v in (frame, other))
        conv = original[0](torch.from_numpy(frame))

    shape = BatchShape(1, 3, 16, 20, statistics=size)
    with open_engine(path, shape, engine, precision="fp32") as runner:

        def run(image: np.ndarray, statistics_in: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            out = np.zeros((1, 3, 32, 40), np.float32)
            statistics_out = np.zeros_like(statistics_in)
            runner.infer(image[None], out, statistics_in, statistics_out)
            return out, statistics_out

        nothing = np.zeros((1, size), np.float32)
        out, used = run(frame, nothing)
        np.testing.assert_allclose(out, own, atol=near)
        np.testing.assert_allclose(used[0, 1:5], conv.mean((1, 2)), atol=near)
        np.testing.assert_allclose(used[0, 5:9], conv.var((1, 2), correction=0), atol=near)
        assert used[0, 0] == 0

        _, of_other = run(other, nothing)
        fixed = used.copy()
        fixed[0, 0] = 1
        out, again = run(frame, fixed)
        np.testing.assert_allclose(out, own, atol=near)
        np.testing.assert_allclose(again, fixed, atol=near)
        out, again = run(other, fixed)  # another image with these statistics
        np.testing.assert_allclose(again, fixed, atol=near)
        assert np.abs(out - its).max() > 0.1

        fixed[0, 0] = 0.75
        _, mixed = run(other, fixed)
        first = 0.75 * used[0, 1:9] + 0.25 * of_other[0, 1:9]  # later norms see other inputs
        np.testing.assert_allclose(mixed[0, 1:9], first, atol=near)
        assert mixed[0, 0] == 0.75


def test_statistics_with_large_mean() -> None:
    """Compute E[x^2] - E[x]^2 in FP32 for a mean of a hundred times the deviation."""
    norm = nn.Sequential(nn.InstanceNorm2d(1))
    x = 100 + torch.randn(1, 1, 256, 256, generator=torch.manual_seed(0))
    out, statistics_out = ExternalStatistics(copy.deepcopy(norm))(x, torch.zeros(1, 3))
    torch.testing.assert_close(out, norm(x), atol=0.02, rtol=0)
    assert statistics_out[0, 2] == pytest.approx(1, rel=0.02)


def test_network_without_norms_is_rejected() -> None:
    with pytest.raises(UsageError, match="no InstanceNorm"):
        freeze_norms(nn.Sequential(nn.Conv2d(3, 3, 1)), random_images(1, 8, 8))


@pytest.mark.parametrize("rows_first", [False, True])
@pytest.mark.parametrize("affine", [False, True])
def test_decomposed_norms_equal_instance_norms(rows_first: bool, affine: bool) -> None:
    """Also of channels that are constant, far from zero, tiny or near the end of FP16's range."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 6, 24, 40, generator=generator)
    factors = torch.tensor([1, 0, 1, 1e-3, 1e4, 1e4])[:, None, None]
    shifts = torch.tensor([0, 3000, 20, 0, 0, -2e4])[:, None, None]
    x = (x * factors + shifts).half()
    norm = nn.InstanceNorm2d(6, affine=affine)
    if affine:
        nn.init.uniform_(norm.weight, -2, 2, generator=generator)
        nn.init.uniform_(norm.bias, -2, 2, generator=generator)
    decomposed = DecomposedNorm(norm)
    decomposed.sums_rows_first = rows_first
    with torch.no_grad():
        out, expected = decomposed(x), copy.deepcopy(norm).double()(x.double())
    assert out.dtype == torch.float16
    # A mean of 20 deviations is rounded to a multiple of 2**-6, and a weight doubles the error.
    assert (out - expected).abs().max() < 2 * 2.0**-6


def test_large_images_are_summed_rows_first() -> None:
    """TensorRT-RTX writes them in FP32 otherwise; the norms of smaller ones need fewer kernels."""
    layers = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.InstanceNorm2d(4),
        nn.Conv2d(4, 8, 3, 2, 1),
        nn.InstanceNorm2d(8),
    )
    network = ReducedPrecision(layers, norm_precision="mixed")
    for size, expected in (((256, 256), [True, False]), ((128, 128), [False, False])):
        split_large_sums(network, (1, 3, *size))
        norms = [module for module in network.modules() if isinstance(module, DecomposedNorm)]
        assert [norm.sums_rows_first for norm in norms] == expected
