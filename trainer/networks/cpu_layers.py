"""Faster CPU implementations of layers for training.

`use_fast_cpu_layers` replaces the classes of a network's layers; weights and state-dict keys stay.
benchmarks/suites/training.py measures the speedup. tests/trainer/networks/test_cpu_layers.py checks
that outputs and gradients are equal.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def use_fast_cpu_layers(network: nn.Module) -> None:
    """Replace layers in place. On a GPU, PyTorch's own layers are faster."""
    for module in network.modules():
        if type(module) is nn.ReflectionPad2d and len(set(module.padding)) == 1:
            module.__class__ = _FastReflectionPad2d
        elif type(module) is nn.InstanceNorm2d and not module.track_running_stats:
            module.__class__ = _FastInstanceNorm2d
        elif (
            type(module) is nn.Conv2d
            and module.out_channels <= 4 < module.in_channels
            and module.kernel_size[1] > 1
            and (module.stride, module.padding, module.groups) == ((1, 1), (0, 0), 1)
        ):
            module.__class__ = _FastNarrowConv2d


class _ReflectionPadFunction(torch.autograd.Function):
    """Reflection padding with a vectorized backward pass.

    PyTorch's backward adds pixel by pixel; this one adds whole borders. Autocast is off because it
    would convert the padded tensor to float32, only for the next convolution to convert it back.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, p: int) -> Tensor:
        ctx.padding = p
        with torch.autocast(x.device.type, enabled=False):
            return F.pad(x, (p, p, p, p), mode="reflect")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        p = ctx.padding
        h, w = gradient.shape[2] - 2 * p, gradient.shape[3] - 2 * p
        rows = gradient[:, :, p : p + h].clone()
        rows[:, :, 1 : p + 1] += gradient[:, :, :p].flip(2)
        rows[:, :, h - 1 - p : h - 1] += gradient[:, :, p + h :].flip(2)
        out = rows[..., p : p + w].contiguous()
        out[..., 1 : p + 1] += rows[..., :p].flip(3)
        out[..., w - 1 - p : w - 1] += rows[..., p + w :].flip(3)
        return out, None


class _FastReflectionPad2d(nn.ReflectionPad2d):
    def forward(self, input: Tensor) -> Tensor:
        out: Tensor = _ReflectionPadFunction.apply(input, self.padding[0])  # type: ignore[no-untyped-call]
        return out


class _FastInstanceNorm2d(nn.InstanceNorm2d):
    """Instance normalization by PyTorch's GroupNorm kernel with one channel per group.

    That kernel is twice as fast. Its backward is also correct for a single channels-last image,
    unlike the one of InstanceNorm2d in PyTorch 2.13.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_features, self.weight, self.bias, self.eps)


class _FastNarrowConv2d(nn.Conv2d):
    """Convolution with few output channels, computed four columns at a time.

    A generator's last convolution has so few output channels that they fill only a fraction of a
    SIMD register. Computing four neighboring columns as output channels of one wider kernel with
    stride 4 fills it.
    """

    PACKED_COLUMNS = 4

    def forward(self, input: Tensor) -> Tensor:
        n, columns = self.out_channels, self.PACKED_COLUMNS
        if (input.shape[3] - self.kernel_size[1] + 1) % columns:
            return super().forward(input)
        shifted = [F.pad(self.weight, (c, columns - 1 - c)) for c in range(columns)]
        wide = torch.stack(shifted, 1).flatten(0, 1)
        bias = None if self.bias is None else self.bias.repeat_interleave(columns)
        out = F.conv2d(input, wide, bias, stride=(1, columns))
        # N,n*4,H,W/4 -> N,n,H,W
        batch, _, height, width = out.shape
        columns_last = out.view(batch, n, columns, height, width).movedim(2, -1)
        return columns_last.reshape(batch, n, height, columns * width)
