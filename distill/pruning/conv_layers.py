"""A generator as a row of convolutions, between which every channel goes its own way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Conv = nn.Conv2d | nn.ConvTranspose2d


@dataclass(frozen=True)
class ConvLayer:
    """before, conv, norm, after: only the convolution sees more than one channel."""

    before: nn.Sequential
    conv: Conv
    norm: nn.InstanceNorm2d | None
    after: nn.Sequential

    def convolve(self, x: Tensor) -> Tensor:
        """What the convolution gives: N,C,H,W -> N,out,h,w."""
        y: Tensor = self.conv(self.before(x))
        return y

    def apply_norm_and_activation(self, conv_output: Tensor) -> Tensor:
        """What comes after that, on the same shape unless `after` changes it."""
        y: Tensor = self.after(conv_output if self.norm is None else self.norm(conv_output))
        return y

    @property
    def has_relu(self) -> bool:
        """Whether it ends in one."""
        return any(isinstance(module, nn.ReLU) for module in self.after)

    @property
    def norm_scale(self) -> Tensor:
        """Of the norm, out; ones where it has none."""
        if self.norm is None or self.norm.weight is None:
            return torch.ones(self.conv.out_channels)
        return self.norm.weight.detach()

    @property
    def weight(self) -> Tensor:
        """out,C,k,k, of a transposed convolution as of the one that `columns` makes of it."""
        weight = self.conv.weight.detach()
        if isinstance(self.conv, nn.ConvTranspose2d):
            return weight.transpose(0, 1).flip((2, 3))
        return weight

    def set_weight(self, weight: Tensor) -> None:
        """The inverse of `weight`."""
        if isinstance(self.conv, nn.ConvTranspose2d):
            weight = weight.flip((2, 3)).transpose(0, 1)
        self.conv.weight.data.copy_(weight)

    def unfold_at(self, x: Tensor, positions: Tensor, output_width: int) -> Tensor:
        """What the convolution sees at P places of its output, which is `width` wide and whose
        pixels are counted row by row: 1,C,H,W and P -> P,C*k*k, in the order of `weight`."""
        image, step = self._pad_input(self.before(x))
        rows, right = positions // output_width * step, positions % output_width * step
        height, across = self.conv.kernel_size
        taps = [image[:, rows + i, right + j] for i in range(height) for j in range(across)]
        return torch.stack(taps, 1).flatten(0, 1).T

    def _pad_input(self, x: Tensor) -> tuple[Tensor, int]:
        """1,C,H,W -> C,h,w, which a convolution without padding sees with this stride."""
        conv = self.conv
        if isinstance(conv, nn.ConvTranspose2d):  # a convolution of an image with gaps
            step, around = conv.stride[0], conv.kernel_size[0] - 1 - int(conv.padding[0])
            gaps = x.new_zeros(*x.shape[1:3], step, x.shape[3], step)
            gaps[:, :, 0, :, 0] = x[0]
            image = gaps.flatten(3, 4).flatten(1, 2)
            more = conv.output_padding[0] - (step - 1)
            return F.pad(image, (around, around + more, around, around + more)), 1
        mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
        return F.pad(x, conv._reversed_padding_repeated_twice, mode)[0], conv.stride[0]


def split_conv_layers(modules: Iterable[nn.Module]) -> list[ConvLayer]:
    """Of a row of modules that ends after one of its convolutions, or after what follows that."""
    flat = [module for outer in modules for module in _flatten_sequential(outer)]
    conv_indices = [i for i, module in enumerate(flat) if isinstance(module, Conv)]
    layers, begin = [], 0
    for this, following in zip(conv_indices, [*conv_indices[1:], len(flat)], strict=True):
        rest = flat[this + 1 : following]
        norm = rest[0] if rest and isinstance(rest[0], nn.InstanceNorm2d) else None
        rest = rest[1:] if norm else rest
        # Up to the ReLU belongs to this convolution; what pads or enlarges, to the next.
        count = len(rest)
        if following < len(flat):
            count = next((i + 1 for i, m in enumerate(rest) if isinstance(m, nn.ReLU)), 0)
        conv = flat[this]
        assert isinstance(conv, Conv)
        layers.append(
            ConvLayer(nn.Sequential(*flat[begin:this]), conv, norm, nn.Sequential(*rest[:count]))
        )
        begin = following - len(rest) + count
    return layers


def _flatten_sequential(module: nn.Module) -> list[nn.Module]:
    if isinstance(module, nn.Sequential):
        return [inner for outer in module for inner in _flatten_sequential(outer)]
    return [module]
