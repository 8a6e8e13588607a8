"""Quantization-aware training (QAT) for INT8 (Jacob et al. 2018).

Training rounds the same tensors as export/quantization/qdq.py: the inputs and weights of Conv2d,
symmetrically, inputs per tensor and weights per output channel. Norms, biases and transposed
convolutions stay in floating point. Export may fold a norm into a convolution. That multiplies the
output channels, so it changes the quantization scales and never the quantized weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cgt.trainer.networks.training_layers import TrainingConv2d

QMAX = 127
CLIPPED_SHARE = 1e-5  # share of the inputs that may be clipped
CALIBRATION_BATCHES = 32  # batches that activation ranges are averaged over

# Module prefixes as spelled in runs from before version 0.1.0 -> as spelled now.
_OLD_PREFIXES = {"steering.look.": "film.encoder.", "steering.tell.": "film.head."}


class _QuantizedConv2d(TrainingConv2d):
    """A convolution that rounds its input and weights to 8 bits; gradients skip clipped values."""

    activation_max: Tensor  # input magnitude that QMAX represents
    observed_batches: int  # batches that activation_max is averaged over

    def forward(self, input: Tensor) -> Tensor:
        x = input.float()
        if self.training and self.observed_batches < CALIBRATION_BATCHES:
            self._observe(x.detach().abs())
        step = (self.activation_max / QMAX).clamp_min(torch.finfo(torch.float32).tiny)
        zero = torch.zeros((), dtype=torch.int32, device=x.device)
        x = torch.fake_quantize_per_tensor_affine(x, step, zero, -QMAX - 1, QMAX)
        out: Tensor = self._conv_forward(x, fake_quantize(self.weight), self.bias)
        return out

    def _observe(self, magnitudes: Tensor) -> None:
        """Update the mean over batches of the magnitude exceeded by CLIPPED_SHARE of the inputs."""
        batch_max = (
            magnitudes.flatten().topk(int(magnitudes.numel() * CLIPPED_SHARE) + 1).values[-1]
        )
        self.observed_batches += 1
        self.activation_max += (batch_max - self.activation_max) / self.observed_batches


def fake_quantize(weight: Tensor) -> Tensor:
    """Return an O,I,h,w weight rounded to 8 bits per output channel."""
    largest = weight.detach().abs().amax((1, 2, 3))
    steps = (largest / QMAX).clamp_min(torch.finfo(torch.float32).tiny)
    zeros = torch.zeros(len(steps), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, steps, zeros, 0, -QMAX, QMAX)


def prepare_qat(network: nn.Module) -> None:
    """Simulate INT8 in a network from now on, in place, without a change to its state dict's keys.

    Batch norms keep their current statistics, because those are constants of the exported graph.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and not isinstance(module, _QuantizedConv2d):
            module.__class__ = _QuantizedConv2d
            assert isinstance(module, _QuantizedConv2d)
            largest = torch.zeros((), device=module.weight.device)
            module.register_buffer("activation_max", largest, persistent=False)
            module.observed_batches = 0  # no tensor: reading one would wait for the GPU
        elif isinstance(module, nn.BatchNorm2d):
            module.__class__ = _FrozenBatchNorm2d


class _FrozenBatchNorm2d(nn.BatchNorm2d):
    def train(self, mode: bool = True) -> _FrozenBatchNorm2d:
        return super().train(False)


def observing_ranges(network: nn.Module) -> list[Tensor]:
    """Return the activation ranges, scalar float32, that the next training step will change."""
    return [
        module.activation_max
        for module in network.modules()
        if isinstance(module, _QuantizedConv2d) and module.observed_batches < CALIBRATION_BATCHES
    ]


def batch_norm_statistics(network: nn.Module) -> list[Tensor]:
    """Return the running statistics, float32, that `prepare_qat` makes constant."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    return [
        statistics
        for norm in norms
        for statistics in (norm.running_mean, norm.running_var)
        if statistics is not None
    ]


def activation_ranges(network: nn.Module) -> dict[str, list[float]]:
    """Return the activation range of each quantized convolution.

    Returns:
        Module name -> [largest input magnitude, number of observed batches]; empty if
        `prepare_qat` has not been called.
    """
    return {
        name: [float(module.activation_max), float(module.observed_batches)]
        for name, module in network.named_modules()
        if isinstance(module, _QuantizedConv2d)
    }


def set_activation_ranges(network: nn.Module, values: dict[str, list[float]]) -> None:
    """Restore what `activation_ranges` returned, in a network after `prepare_qat`."""
    for name, (activation_max, observed_batches) in values.items():
        module = network.get_submodule(_current_name(name))
        assert isinstance(module, _QuantizedConv2d)
        module.activation_max.fill_(activation_max)
        module.observed_batches = int(observed_batches)


def _current_name(module_name: str) -> str:
    for old, new in _OLD_PREFIXES.items():
        if module_name.startswith(old):
            return new + module_name.removeprefix(old)
    return module_name
