"""Winograd's convolutions are the same convolutions."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from cgt.trainer.winograd import answer_quicker


@pytest.fixture
def avx2_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """NNPACK computes with AVX2, which CPUs with AVX-512 have, too; there it is not taken."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")


@pytest.mark.usefixtures("avx2_alone")
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_answers_are_equal(
    padding: int, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    slow = nn.Conv2d(64, 96, 3, padding=padding)
    fast = copy.deepcopy(slow)
    answer_quicker(fast)
    x = torch.randn(1, 64, 40, 33).contiguous(memory_format=layout)
    ran = []
    real = torch._nnpack_spatial_convolution
    monkeypatch.setattr(
        torch, "_nnpack_spatial_convolution", lambda *args: ran.append(1) or real(*args)
    )
    with torch.no_grad():
        a, b = slow(x), fast(x)
        assert ran == [1]
        torch.testing.assert_close(a, b, rtol=0, atol=3e-5 * float(a.abs().max()))
        small, two = x[..., :20, :20], x.repeat(2, 1, 1, 1)
        assert torch.equal(slow(small), fast(small))
        assert torch.equal(slow(two), fast(two))
    assert fast(x).requires_grad
    assert ran == [1]


@pytest.mark.usefixtures("avx2_alone")
def test_others_are_left_alone() -> None:
    layers = [
        *(nn.Conv2d(64, 64, 3, stride=2), nn.Conv2d(64, 64, 4), nn.Conv2d(64, 32, 3)),
        nn.Conv2d(64, 64, 3, padding=1, padding_mode="reflect"),
    ]
    network = nn.Sequential(*layers)
    answer_quicker(network)
    assert {type(layer) for layer in network} == {nn.Conv2d}


def test_where_the_cpu_has_more_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    layer = nn.Conv2d(64, 64, 3)
    answer_quicker(layer)
    assert type(layer) is nn.Conv2d
