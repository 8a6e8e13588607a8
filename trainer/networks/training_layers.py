"""Implementations of layers that replace PyTorch's in training.

`use_training_layers` replaces the classes of a network's layers; weights and state-dict keys stay.
benchmarks/suites/training.py measures the speedup on a CPU.
tests/trainer/networks/test_training_layers.py checks that outputs and gradients are equal.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Padding = tuple[int, int, int, int]  # left, right, top, bottom, as in torch.nn.functional.pad


def use_training_layers(
    network: nn.Module, device: torch.device, channels_last: bool = False
) -> None:
    """Replace layers in place.

    Reflection padding is replaced on every device, because PyTorch's own has no deterministic
    backward on CUDA. Instance norms are replaced on a CPU, where the replacement is faster, and
    in channels-last networks, where it has correct gradients. Narrow convolutions are replaced on
    a CPU.

    Args:
        network: The network.
        device: Device that it trains on.
        channels_last: Whether it trains in the channels-last memory format.
    """
    on_cpu = device.type == "cpu"
    for module in network.modules():
        if type(module) is nn.ReflectionPad2d:
            module.__class__ = _TrainingReflectionPad2d
        elif type(module) is nn.Conv2d and module.padding_mode == "reflect":
            module.__class__ = TrainingConv2d
        elif type(module) is nn.InstanceNorm2d and not module.track_running_stats:
            if on_cpu or channels_last:
                module.__class__ = _GroupInstanceNorm2d
        elif (
            on_cpu
            and type(module) is nn.Conv2d
            and module.out_channels <= 4 < module.in_channels
            and module.kernel_size[1] > 1
            and (module.stride, module.padding, module.groups) == ((1, 1), (0, 0), 1)
        ):
            module.__class__ = _FastNarrowConv2d


def reflection_pad(x: Tensor, padding: Padding) -> Tensor:
    """Pad an N,C,H,W tensor by reflection, with a deterministic backward on every device.

    Args:
        x: The tensor.
        padding: Pixels on the left, right, top and bottom.

    Returns:
        N,C,H+top+bottom,W+left+right, equal to `torch.nn.functional.pad`.
    """
    out: Tensor = _ReflectionPadFunction.apply(x, padding)  # type: ignore[no-untyped-call]
    return out


class _ReflectionPadFunction(torch.autograd.Function):
    """Reflection padding with a vectorized backward pass.

    PyTorch's backward adds pixel by pixel on a CPU, and on CUDA by atomic additions in any order.
    This one adds whole borders. Autocast is off because on a CPU it would convert the padded tensor
    to float32, only for the next convolution to convert it back.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, padding: Padding) -> Tensor:
        ctx.padding = padding
        with torch.autocast("cpu", enabled=False):
            return F.pad(x, padding, mode="reflect")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        left, right, top, bottom = ctx.padding
        h, w = gradient.shape[2] - top - bottom, gradient.shape[3] - left - right
        rows = gradient[:, :, top : top + h].clone()
        rows[:, :, 1 : top + 1] += gradient[:, :, :top].flip(2)
        rows[:, :, h - 1 - bottom : h - 1] += gradient[:, :, top + h :].flip(2)
        out = rows[..., left : left + w].contiguous()
        out[..., 1 : left + 1] += rows[..., :left].flip(3)
        out[..., w - 1 - right : w - 1] += rows[..., left + w :].flip(3)
        return out, None


class _TrainingReflectionPad2d(nn.ReflectionPad2d):
    def forward(self, input: Tensor) -> Tensor:
        return reflection_pad(input, self.padding)


class TrainingConv2d(nn.Conv2d):
    """Convolution that pads by `reflection_pad` if its padding mode is "reflect"."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.padding_mode != "reflect":
            out: Tensor = super()._conv_forward(input, weight, bias)
            return out
        left, right, top, bottom = self._reversed_padding_repeated_twice
        padded = reflection_pad(input, (left, right, top, bottom))
        out = F.conv2d(padded, weight, bias, self.stride, 0, self.dilation, self.groups)
        return out


class _GroupInstanceNorm2d(nn.InstanceNorm2d):
    """Instance normalization by PyTorch's GroupNorm kernel with one channel per group.

    On a CPU, that kernel is twice as fast. Its backward is also correct for a single channels-last
    image, unlike the one of InstanceNorm2d in PyTorch 2.13. Autocast is off because it would
    convert the output to float32 on a GPU.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not input.is_cuda:
            return F.group_norm(input, self.num_features, self.weight, self.bias, self.eps)
        # The kernel for CUDA takes parameters of the input's type only.
        weight, bias = (p if p is None else p.to(input.dtype) for p in (self.weight, self.bias))
        with torch.autocast("cuda", enabled=False):
            return F.group_norm(input, self.num_features, weight, bias, self.eps)


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
