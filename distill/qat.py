"""INT8 in training as it will be in the exported graph: what export rounds is rounded here, and the
network learns to live with it (quantisation-aware training, Jacob et al. 2018).

As in export/quantization/qdq.py: inputs and weights of Conv2d, symmetric, inputs per tensor, weights per
output channel; norms, biases and transposed convolutions are left alone. A norm that export folds
into a convolution scales its output channels, and with them the scales alone, never the levels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

QMAX = 127
CLIPPED_SHARE = 1e-5  # share of the largest inputs that may be clipped
CALIBRATION_BATCHES = 32  # batches that thresholds are taken from


class _QuantizedConv2d(nn.Conv2d):
    """Rounds its input and weights to 8 bits; gradients pass where nothing is clipped."""

    activation_max: Tensor  # what TOP stands for
    observed_batches: Tensor  # batches it was taken from

    def forward(self, input: Tensor) -> Tensor:
        x = input.float()
        if self.training and int(self.observed_batches) < CALIBRATION_BATCHES:
            self._observe(x.detach().abs())
        step = (self.activation_max / QMAX).clamp_min(torch.finfo(torch.float32).tiny)
        zero = torch.zeros((), dtype=torch.int32, device=x.device)
        x = torch.fake_quantize_per_tensor_affine(x, step, zero, -QMAX - 1, QMAX)
        out: Tensor = self._conv_forward(x, fake_quantize(self.weight), self.bias)
        return out

    def _observe(self, magnitudes: Tensor) -> None:
        """The mean over batches of the magnitude that all but OUTLIERS stay below."""
        most = magnitudes.flatten().topk(int(magnitudes.numel() * CLIPPED_SHARE) + 1).values[-1]
        self.observed_batches += 1
        self.activation_max += (most - self.activation_max) / self.observed_batches


def fake_quantize(weight: Tensor) -> Tensor:
    """O,I,h,w as 8 bits hold it, per output channel."""
    largest = weight.detach().abs().amax((1, 2, 3))
    steps = (largest / QMAX).clamp_min(torch.finfo(torch.float32).tiny)
    zeros = torch.zeros(len(steps), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, steps, zeros, 0, -QMAX, QMAX)


def prepare_qat(network: nn.Module) -> None:
    """In place; the keys of the state dict stay. Batch norms keep the statistics that they have: in
    the exported graph they are constants, too."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and not isinstance(module, _QuantizedConv2d):
            device = module.weight.device
            module.__class__ = _QuantizedConv2d
            for name in ("threshold", "looks"):
                module.register_buffer(name, torch.zeros((), device=device), persistent=False)
        elif isinstance(module, nn.BatchNorm2d):
            module.__class__ = _FrozenBatchNorm2d


class _FrozenBatchNorm2d(nn.BatchNorm2d):
    def train(self, mode: bool = True) -> _FrozenBatchNorm2d:
        return super().train(False)


def activation_ranges(network: nn.Module) -> dict[str, list[float]]:
    """By module: threshold and looks; empty before `quantise`."""
    return {
        name: [float(module.activation_max), float(module.observed_batches)]
        for name, module in network.named_modules()
        if isinstance(module, _QuantizedConv2d)
    }


def set_activation_ranges(network: nn.Module, values: dict[str, list[float]]) -> None:
    """What `thresholds` gave, of a network after `quantise`."""
    for name, (activation_max, observed_batches) in values.items():
        module = network.get_submodule(name)
        assert isinstance(module, _QuantizedConv2d)
        module.activation_max.fill_(activation_max)
        module.observed_batches.fill_(observed_batches)
