"""Tests that the layers for training equal those of PyTorch."""

import copy

import pytest
import torch
from torch import nn

from cgt.trainer.networks.training_layers import use_training_layers

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.ReflectionPad2d(1), (2, 3, 7, 9)),
        (nn.ReflectionPad2d(3), (1, 3, 8, 8)),
        (nn.ReflectionPad2d((0, 2, 3, 1)), (1, 3, 8, 6)),
        (nn.Conv2d(8, 5, 3, padding=1, padding_mode="reflect"), (1, 8, 10, 7)),
        (nn.Conv2d(8, 5, 3, 2, (2, 1), padding_mode="reflect"), (1, 8, 10, 7)),
        (nn.InstanceNorm2d(5), (1, 5, 8, 6)),
        (nn.InstanceNorm2d(5, affine=True), (3, 5, 8, 6)),
        (nn.Conv2d(8, 3, 7), (2, 8, 14, 22)),
        (nn.Conv2d(8, 1, 7, bias=False), (1, 8, 10, 10)),
        (nn.Conv2d(8, 3, 7), (1, 8, 14, 15)),  # 9 columns: left to PyTorch
    ],
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_outputs_and_gradients_are_equal(
    layer: nn.Module, shape: tuple[int, ...], memory_format: torch.memory_format
) -> None:
    """Compare with PyTorch's own layer, contiguous and in float64."""
    torch.manual_seed(0)
    slow = copy.deepcopy(layer).double()
    fast = copy.deepcopy(slow)
    use_training_layers(fast, CPU)
    assert type(fast) is not type(slow)
    assert fast.state_dict().keys() == slow.state_dict().keys()
    x = torch.randn(shape, dtype=torch.float64)
    inputs = x.clone().requires_grad_(), x.to(memory_format=memory_format).requires_grad_()
    outputs = slow(inputs[0]), fast(inputs[1])
    gradient = torch.randn_like(outputs[0])
    outputs[0].backward(gradient)
    outputs[1].backward(gradient.to(memory_format=memory_format))
    torch.testing.assert_close(outputs[0], outputs[1])
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
    for p, q in zip(slow.parameters(), fast.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)


def test_other_layers_are_unchanged() -> None:
    layers = [nn.Conv2d(8, 8, 3), nn.Conv2d(8, 1, 4, padding=1), nn.BatchNorm2d(8)]
    network = nn.Sequential(*layers)
    use_training_layers(network, CPU)
    assert [type(layer) for layer in network] == [nn.Conv2d, nn.Conv2d, nn.BatchNorm2d]


def test_autocast_keeps_bf16() -> None:
    network = nn.Sequential(nn.ReflectionPad2d(1), nn.InstanceNorm2d(4))
    use_training_layers(network, CPU)
    x = torch.randn(1, 4, 8, 8, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert network(x).dtype == network[0](x).dtype == torch.bfloat16
