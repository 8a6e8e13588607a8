"""INT8 in training as it will be in the exported graph: what export rounds is rounded here, and the
network learns to live with it (quantisation-aware training, Jacob et al. 2018).

As in export/quantize.py: inputs and weights of Conv2d, symmetric, inputs per tensor, weights per
output channel; norms, biases and transposed convolutions are left alone. A norm that export folds
into a convolution scales its output channels, and with them the scales alone, never the levels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

TOP = 127
OUTLIERS = 1e-5  # share of the largest inputs that may be clipped
LOOKS = 32  # batches that thresholds are taken from


class _QuantisedConv(nn.Conv2d):
    """Rounds its input and weights to 8 bits; gradients pass where nothing is clipped."""

    threshold: Tensor  # what TOP stands for
    looks: Tensor  # batches it was taken from

    def forward(self, input: Tensor) -> Tensor:
        x = input.float()
        if self.training and int(self.looks) < LOOKS:
            self._look(x.detach().abs())
        step = (self.threshold / TOP).clamp_min(torch.finfo(torch.float32).tiny)
        zero = torch.zeros((), dtype=torch.int32, device=x.device)
        x = torch.fake_quantize_per_tensor_affine(x, step, zero, -TOP - 1, TOP)
        out: Tensor = self._conv_forward(x, rounded(self.weight), self.bias)
        return out

    def _look(self, magnitudes: Tensor) -> None:
        """The mean over batches of the magnitude that all but OUTLIERS stay below."""
        most = magnitudes.flatten().topk(int(magnitudes.numel() * OUTLIERS) + 1).values[-1]
        self.looks += 1
        self.threshold += (most - self.threshold) / self.looks


def rounded(weight: Tensor) -> Tensor:
    """O,I,h,w as 8 bits hold it, per output channel."""
    largest = weight.detach().abs().amax((1, 2, 3))
    steps = (largest / TOP).clamp_min(torch.finfo(torch.float32).tiny)
    zeros = torch.zeros(len(steps), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, steps, zeros, 0, -TOP, TOP)


def quantise(network: nn.Module) -> None:
    """In place; the keys of the state dict stay. Batch norms keep the statistics that they have: in
    the exported graph they are constants, too."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and not isinstance(module, _QuantisedConv):
            device = module.weight.device
            module.__class__ = _QuantisedConv
            for name in ("threshold", "looks"):
                module.register_buffer(name, torch.zeros((), device=device), persistent=False)
        elif isinstance(module, nn.BatchNorm2d):
            module.__class__ = _SettledNorm


class _SettledNorm(nn.BatchNorm2d):
    def train(self, mode: bool = True) -> _SettledNorm:
        return super().train(False)


def thresholds(network: nn.Module) -> dict[str, list[float]]:
    """By module: threshold and looks; empty before `quantise`."""
    return {
        name: [float(module.threshold), float(module.looks)]
        for name, module in network.named_modules()
        if isinstance(module, _QuantisedConv)
    }


def set_thresholds(network: nn.Module, values: dict[str, list[float]]) -> None:
    """What `thresholds` gave, of a network after `quantise`."""
    for name, (threshold, looks) in values.items():
        module = network.get_submodule(name)
        assert isinstance(module, _QuantisedConv)
        module.threshold.fill_(threshold)
        module.looks.fill_(looks)
