"""Layers shared by the generators: norms, padding, down- and upsampling, output activation."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import VALUE_RANGES, GeneratorConfig, group_count

_PADDING_LAYERS: dict[str, type[nn.Module]] = {
    "reflect": nn.ReflectionPad2d,
    "replicate": nn.ReplicationPad2d,
    "zero": nn.ZeroPad2d,
}
PADDING_MODES: dict[str, Literal["reflect", "replicate", "zeros"]] = {
    "reflect": "reflect",
    "replicate": "replicate",
    "zero": "zeros",
}


def norm_layer(channels: int, kind: str) -> nn.Module:
    """Build a normalization layer; kind is GeneratorConfig.norm."""
    if kind in ("batch", "batch_film"):
        return nn.BatchNorm2d(channels)
    if kind == "none":
        return nn.Identity()
    if kind.startswith("group"):
        return nn.GroupNorm(group_count(kind, channels), channels)
    return nn.InstanceNorm2d(channels, affine=kind == "instance_affine")


def padding_layer(kind: str, size: int) -> nn.Module:
    """Build a layer that pads all four sides; kind is one of config.PADDINGS."""
    return _PADDING_LAYERS[kind](size)


def activation_layer(kind: str) -> nn.Module:
    """Build a hidden activation, one of config.ACTIVATIONS."""
    if kind.startswith("leaky_relu"):
        return nn.LeakyReLU(float(kind.removeprefix("leaky_relu").lstrip("_") or 0.2), True)
    if kind == "gelu":
        return nn.GELU()
    if kind == "elu":
        return nn.ELU(inplace=True)
    return nn.SiLU(inplace=True) if kind == "silu" else nn.ReLU(True)


def output_layer(activation: str) -> nn.Module:
    """Build the output activation, one of config.OUTPUT_ACTIVATIONS."""
    return {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "none": nn.Identity}[activation]()


def to_value_range(config: GeneratorConfig, x: Tensor) -> Tensor:
    """Map an image in [-1, 1] to the range of values that a generator was trained with."""
    low, high = VALUE_RANGES[config.value_range]
    return x if (low, high) == (-1, 1) else (x + 1) * ((high - low) / 2) + low


def finalize_output(config: GeneratorConfig, x: Tensor, out: Tensor) -> Tensor:
    """Map the output of a generator's last layer to an image in [-1, 1].

    Args:
        config: The generator.
        x: Its input, N,in,H,W in [-1, 1].
        out: The output of its last layer, N,out,H,W.

    Returns:
        N,out,H,W in [-1, 1].
    """
    low, high = VALUE_RANGES[config.value_range]
    if (low, high) != (-1, 1):
        out = (out - low) * (2 / (high - low)) - 1
    elif config.output_activation == "sigmoid":
        out = 2 * out - 1
    if config.learn_residual:
        # A narrow network cannot carry an image through 16 InstanceNorms, each of which discards
        # its brightness. Adding the input makes that unnecessary (DeblurGAN, section 3.2).
        out = (x + out).clamp(-1, 1)
    return out


class SeparableConv(nn.Module):
    """Depthwise 3x3 and pointwise 1x1 convolution without padding: N,C,H,W -> N,out,H-2,W-2.

    The design is MobileNet's, with an InstanceNorm in between as in GAN Compression (Li et al.
    2020).
    """

    def __init__(self, channels: int, out: int, kind: str) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(channels, channels, 3, groups=channels),
            norm_layer(channels, "none" if kind == "none" else "instance"),
            nn.Conv2d(channels, out, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y


class _Blur(nn.Module):
    """Fixed binomial filter per channel, stored in the buffer "filt" (C,1,K,K)."""

    filt: Tensor

    def __init__(self, channels: int, taps: tuple[float, ...], gain: float) -> None:
        super().__init__()
        row = torch.tensor(taps) / sum(taps)
        self.register_buffer("filt", (gain * torch.outer(row, row)).repeat(channels, 1, 1, 1))


class BlurDown(_Blur):
    """Blur-pool (Zhang 2019) with 3 taps and reflection: N,C,H,W -> N,C,ceil(H/2),ceil(W/2)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, (1, 2, 1), 1)
        self.pad = padding_layer("reflect", 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(self.pad(x), self.filt, stride=2, groups=len(self.filt))


class BlurUp(_Blur):
    """Smooth 2x upsampling with 4 taps and replicated borders: N,C,H,W -> N,C,2H,2W."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, (1, 3, 3, 1), 4)

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return F.conv_transpose2d(padded, self.filt, stride=2, padding=3, groups=len(self.filt))


def downsample_layers(config: GeneratorConfig, channels: int, out: int) -> list[nn.Module]:
    """Build convolution, norm and ReLU: N,C,H,W -> N,out,H/2,W/2."""
    blurred = config.downsampling == "antialias"
    conv = nn.Conv2d(
        channels,
        out,
        config.sampling_kernel,
        1 if blurred else 2,
        1,
        bias=config.bias,
        padding_mode=PADDING_MODES[config.down_padding],
    )
    rest = [norm_layer(out, config.norm), activation_layer(config.activation)]
    return [conv, *rest, BlurDown(out)] if blurred else [conv, *rest]


def upsample_layers(config: GeneratorConfig, channels: int, out: int) -> list[nn.Module]:
    """Build convolution, norm and ReLU: N,C,H,W -> N,out,2H,2W."""
    rest = [norm_layer(out, config.norm), activation_layer(config.activation)]
    if config.upsampling == "transposed":
        output_padding = 4 - config.sampling_kernel  # a 3x3 kernel would yield 2H-1 rows
        conv = nn.ConvTranspose2d(
            channels, out, config.sampling_kernel, 2, 1, output_padding, bias=config.bias
        )
        return [conv, *rest]
    if config.upsampling == "antialias":
        mode = PADDING_MODES[config.up_padding]
        smooth_conv = nn.Conv2d(channels, out, 3, 1, 1, bias=config.bias, padding_mode=mode)
        return [BlurUp(channels), smooth_conv, *rest]
    # Zero padding is a parameter of the convolution, so engines need no padding layer.
    zero_padding = config.up_padding == "zero"
    resize = nn.Upsample(scale_factor=2, mode=config.interpolation)
    if config.upsampling == "convolve_resize":
        mode = PADDING_MODES[config.up_padding]
        first = nn.Conv2d(channels, out, 3, 1, 1, bias=config.bias, padding_mode=mode)
        return [first, *rest, resize]
    repeat = nn.Sequential(
        resize,
        nn.Identity() if zero_padding else padding_layer(config.up_padding, 1),
        nn.Conv2d(channels, out, 3, padding=int(zero_padding), bias=config.bias),
    )
    return [repeat, *rest]
