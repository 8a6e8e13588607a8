"""Tests of the discriminators and of the weight initialization."""

import pytest
import torch
from torch import nn

from cgt.trainer.networks import PatchDiscriminator, PixelDiscriminator, init_weights


def count_parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_parameter_counts_match_the_papers() -> None:
    assert count_parameters(PatchDiscriminator()) == 2_764_737  # 2.765 M
    assert count_parameters(PatchDiscriminator(in_channels=6, norm="batch")) == 2_768_705  # pix2pix
    assert count_parameters(PixelDiscriminator()) == 4 * 64 + 65 * 128 + 129


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70), (4, 142), (5, 286)])
def test_receptive_fields_match_the_paper(layers: int, field: int) -> None:
    """Measure by the gradient of one logit, without norms, because these see the whole image."""
    network = PatchDiscriminator(2, layers=layers, norm="none")
    x = torch.randn(1, 3, 512, 512, requires_grad=True)
    logits = network(x)
    middle = logits.shape[-1] // 2
    logits[0, 0, middle, middle].backward()
    rows = torch.nonzero(x.grad.abs().sum((0, 1, 3)))
    columns = torch.nonzero(x.grad.abs().sum((0, 1, 2)))
    assert rows.max() - rows.min() + 1 == columns.max() - columns.min() + 1 == field


def test_pixel_discriminator_sees_one_pixel() -> None:
    network = PixelDiscriminator(4, norm="none")
    x = torch.randn(1, 3, 16, 16, requires_grad=True)
    network(x)[0, 0, 3, 5].backward()
    assert torch.nonzero(x.grad.abs().sum((0, 1))).tolist() == [[3, 5]]


@pytest.mark.parametrize(
    ("kind", "std"),
    [("normal", 0.02), ("xavier", 0.02 * (2 / (2 * 64 * 9)) ** 0.5), ("kaiming", (2 / 576) ** 0.5)],
)
def test_initial_standard_deviation(kind: str, std: float) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(64, 64, 3), nn.BatchNorm2d(64))
    init_weights(network, kind)
    assert network[0].weight.std().item() == pytest.approx(std, rel=0.02)
    assert (network[0].bias == 0).all()
    assert network[1].weight.mean().item() == pytest.approx(1, abs=0.01)


def test_orthogonal_weights_are_orthogonal() -> None:
    network = nn.Conv2d(64, 16, 3)
    init_weights(network, "orthogonal", gain=0.5)
    rows = network.weight.flatten(1)
    torch.testing.assert_close(rows @ rows.T, 0.25 * torch.eye(16), atol=1e-5, rtol=0)
