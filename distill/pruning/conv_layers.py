"""Generator as a sequence of convolutions; all layers between them act on single channels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Conv = nn.Conv2d | nn.ConvTranspose2d


@dataclass(frozen=True)
class ConvLayer:
    """A convolution with the per-channel layers around it.

    Attributes:
        before: layers before the convolution, such as padding or resizing.
        conv: the convolution, the only layer that combines channels.
        norm: InstanceNorm after it, if any.
        after: further layers after it, such as an activation.
    """

    before: nn.Sequential
    conv: Conv
    norm: nn.InstanceNorm2d | None
    after: nn.Sequential

    def convolve(self, x: Tensor) -> Tensor:
        """Return the output of the convolution: N,C,H,W -> N,out,h,w."""
        y: Tensor = self.conv(self.before(x))
        return y

    def apply_norm_and_activation(self, conv_output: Tensor) -> Tensor:
        """Apply the layers after the convolution to its output."""
        y: Tensor = self.after(conv_output if self.norm is None else self.norm(conv_output))
        return y

    @property
    def has_relu(self) -> bool:
        """Whether the layers after the convolution include a ReLU."""
        return any(isinstance(module, nn.ReLU) for module in self.after)

    @property
    def norm_scale(self) -> Tensor:
        """Scales of the norm, one per output channel; ones without a norm or scales."""
        if self.norm is None or self.norm.weight is None:
            return torch.ones(self.conv.out_channels)
        return self.norm.weight.detach()

    @property
    def weight(self) -> Tensor:
        """Weights as out,C,k,k, for a transposed convolution those of an equivalent plain one."""
        weight = self.conv.weight.detach()
        if isinstance(self.conv, nn.ConvTranspose2d):
            return weight.transpose(0, 1).flip((2, 3))
        return weight

    def set_weight(self, weight: Tensor) -> None:
        """Set the weights from the form that `weight` has."""
        if isinstance(self.conv, nn.ConvTranspose2d):
            weight = weight.flip((2, 3)).transpose(0, 1)
        self.conv.weight.data.copy_(weight)

    def unfold_at(self, x: Tensor, positions: Tensor, output_width: int) -> Tensor:
        """Return the receptive fields of some output pixels.

        Args:
            x: input of the layer, 1,C,H,W.
            positions: P indices of output pixels, row by row.
            output_width: width of the output.

        Returns:
            P,C*k*k, in the order of `weight`.
        """
        image, step = self._pad_input(self.before(x))
        rows, right = positions // output_width * step, positions % output_width * step
        height, across = self.conv.kernel_size
        taps = [image[:, rows + i, right + j] for i in range(height) for j in range(across)]
        return torch.stack(taps, 1).flatten(0, 1).T

    def _pad_input(self, x: Tensor) -> tuple[Tensor, int]:
        """Return the padded input, C,h,w, and the stride of an equivalent unpadded convolution."""
        conv = self.conv
        if isinstance(
            conv, nn.ConvTranspose2d
        ):  # equivalent to a convolution of an image with zeros between its pixels
            step, around = conv.stride[0], conv.kernel_size[0] - 1 - int(conv.padding[0])
            gaps = x.new_zeros(*x.shape[1:3], step, x.shape[3], step)
            gaps[:, :, 0, :, 0] = x[0]
            image = gaps.flatten(3, 4).flatten(1, 2)
            more = conv.output_padding[0] - (step - 1)
            return F.pad(image, (around, around + more, around, around + more)), 1
        mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
        return F.pad(x, conv._reversed_padding_repeated_twice, mode)[0], conv.stride[0]


def split_conv_layers(modules: Iterable[nn.Module]) -> list[ConvLayer]:
    """Split modules, in order of execution, into one layer per convolution."""
    flat = [module for outer in modules for module in _flatten_sequential(outer)]
    conv_indices = [i for i, module in enumerate(flat) if isinstance(module, Conv)]
    layers, begin = [], 0
    for this, following in zip(conv_indices, [*conv_indices[1:], len(flat)], strict=True):
        rest = flat[this + 1 : following]
        norm = rest[0] if rest and isinstance(rest[0], nn.InstanceNorm2d) else None
        rest = rest[1:] if norm else rest
        # Layers up to the ReLU belong to this convolution, padding and resizing to the next one.
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
