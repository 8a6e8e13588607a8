import pytest
import torch
from torch import nn

from cgt.trainer.networks import PatchDiscriminator, PixelDiscriminator, init_weights


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_parameters_are_the_published_ones() -> None:
    assert parameters(PatchDiscriminator()) == 2_764_737  # 2.765 M
    assert parameters(PatchDiscriminator(in_channels=6, norm="batch")) == 2_768_705  # pix2pix
    assert parameters(PixelDiscriminator()) == 4 * 64 + 65 * 128 + 129


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70), (4, 142), (5, 286)])
def test_receptive_fields_are_those_of_the_paper(layers: int, field: int) -> None:
    """Measured by the gradient of one verdict; norms are left out, for they see everything."""
    network = PatchDiscriminator(2, layers=layers, norm="none")
    x = torch.randn(1, 3, 512, 512, requires_grad=True)
    verdict = network(x)
    middle = verdict.shape[-1] // 2
    verdict[0, 0, middle, middle].backward()
    rows = torch.nonzero(x.grad.abs().sum((0, 1, 3)))
    columns = torch.nonzero(x.grad.abs().sum((0, 1, 2)))
    assert rows.max() - rows.min() + 1 == columns.max() - columns.min() + 1 == field


def test_a_pixel_sees_itself() -> None:
    network = PixelDiscriminator(4, norm="none")
    x = torch.randn(1, 3, 16, 16, requires_grad=True)
    network(x)[0, 0, 3, 5].backward()
    assert torch.nonzero(x.grad.abs().sum((0, 1))).tolist() == [[3, 5]]


@pytest.mark.parametrize(
    ("kind", "deviation"),
    [("normal", 0.02), ("xavier", 0.02 * (2 / (2 * 64 * 9)) ** 0.5), ("kaiming", (2 / 576) ** 0.5)],
)
def test_initial_deviations(kind: str, deviation: float) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(64, 64, 3), nn.BatchNorm2d(64))
    init_weights(network, kind)
    assert network[0].weight.std().item() == pytest.approx(deviation, rel=0.02)
    assert (network[0].bias == 0).all()
    assert network[1].weight.mean().item() == pytest.approx(1, abs=0.01)


def test_orthogonal_is() -> None:
    network = nn.Conv2d(64, 16, 3)
    init_weights(network, "orthogonal", gain=0.5)
    rows = network.weight.flatten(1)
    torch.testing.assert_close(rows @ rows.T, 0.25 * torch.eye(16), atol=1e-5, rtol=0)
