"""Student generator of `cgt distill`: a CycleGAN generator designed for fast inference.

As in GAN Compression (Li et al. 2020), a student is its teacher's ResNet with fewer channels, fewer
blocks or separable convolutions. It differs from a ResNet in these points:

- Zero padding is part of the convolutions (if GeneratorConfig.padding allows it). A separate layer
  for reflection padding would separate one INT8 convolution from the next.
- shuffle_factor > 1: the first convolution reads squares of pixels and the last one writes them
  (sub-pixel convolution, Shi et al. 2016), so no layer runs at full resolution.
- norm "batch_film": export folds the batch norms into the convolutions. Unlike them, an
  InstanceNorm makes the colors of the output depend on the whole image. FiLM (Perez et al. 2018)
  replaces that: a predictor reads a thumbnail of the image and yields a scale and a shift for each
  channel of each block. They apply after the first convolution of a block, so the weights and
  inputs of that convolution are the same for all images of a batch and stay INT8.
- color_transform: a matrix and a shift, predicted from the same thumbnail, transform the colors of
  the input (Gharbi et al. 2017, "Deep Bilateral Learning", with a single cell). A teacher with
  InstanceNorm changes the colors of the whole image. Narrow features cannot carry such a change,
  because their own InstanceNorms discard it.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import GeneratorConfig
from .layers import (
    PADDING_MODES,
    downsample_layers,
    finalize_output,
    norm_layer,
    output_layer,
    upsample_layers,
)

CODE_CHANNELS = 32  # width of the thumbnail encoder's output

# Prefixes of state-dict keys in files written before version 0.1.0.
_OLD_KEYS = {"steering.look.": "film.encoder.", "steering.tell.": "film.head."}


class MeanStdPool(nn.Module):
    """Mean and standard deviation of each channel: N,C,h,w -> N,2C. Compute it in FP32."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)
        variance = (x - mean).square().mean((2, 3))
        return torch.cat([mean.flatten(1), (variance + 1e-5).sqrt()], 1)


class FilmPredictor(nn.Module):
    """Predictor of per-image parameters from a thumbnail: N,in,H,W -> N,out_features.

    The outputs are zero until trained.

    Args:
        in_channels: Channels of the image.
        pool_size: Side of the squares that average pooling reduces to a pixel of the thumbnail; H
            and W must be multiples of it.
        out_features: Number of parameters per image.
    """

    def __init__(self, in_channels: int, pool_size: int, out_features: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.AvgPool2d(pool_size),
            nn.Conv2d(in_channels, CODE_CHANNELS // 2, 3, 2, 1),
            nn.ReLU(True),
            nn.Conv2d(CODE_CHANNELS // 2, CODE_CHANNELS, 3, 2, 1),
            nn.ReLU(True),
            MeanStdPool(),
        )
        self.head = nn.Sequential(
            nn.Linear(2 * CODE_CHANNELS, 2 * CODE_CHANNELS),
            nn.ReLU(True),
            nn.Linear(2 * CODE_CHANNELS, out_features),
        )
        last = self.head[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.encoder(x))
        return out


class StudentBlock(nn.Module):
    """Residual block of two 3x3 convolutions with optional FiLM: NCHW -> NCHW.

    `forward` applies `scale` and `shift` (N,inner,1,1) after the first convolution.
    """

    def __init__(self, config: GeneratorConfig, channels: int, inner: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            *_conv3x3_layers(config, channels, inner), norm_layer(inner, config.norm)
        )
        self.second = nn.Sequential(
            *_conv3x3_layers(config, inner, channels), norm_layer(channels, config.norm)
        )

    def forward(
        self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None
    ) -> Tensor:
        y = self.first(x)
        if scale is not None and shift is not None:
            y = y * (1 + scale) + shift
        out: Tensor = x + self.second(F.relu(y))
        return out


class StudentGenerator(nn.Module):
    """Student generator: N,in,H,W -> N,out,H,W in [-1, 1]; H, W multiples of config.multiple."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        widths, levels, shuffle = config.stage_widths, config.levels, config.shuffle_factor
        kernel, mode = config.stem_kernel, PADDING_MODES[config.stem_padding]
        self.inner_widths = widths[levels + 1 : -levels]
        self.down = nn.Sequential(
            nn.Conv2d(
                config.in_channels,
                widths[0],
                kernel * shuffle,
                shuffle,
                kernel // 2 * shuffle,
                bias=config.bias,
                padding_mode=mode,
            ),
            norm_layer(widths[0], config.norm),
            nn.ReLU(True),
        )
        c = widths[0]
        for out in widths[1 : levels + 1]:
            self.down.extend(downsample_layers(config, c, out))
            c = out
        self.blocks = nn.ModuleList(StudentBlock(config, c, inner) for inner in self.inner_widths)
        self.up = nn.Sequential()
        for out in widths[-levels:]:
            self.up.extend(upsample_layers(config, c, out))
            c = out
        pixels = config.out_channels * shuffle * shuffle
        self.up.append(nn.Conv2d(c, pixels, kernel, 1, kernel // 2, padding_mode=mode))
        if shuffle > 1:
            self.up.append(nn.PixelShuffle(shuffle))
        self.up.append(output_layer(config.output_activation))
        # Layout of the predicted parameters: scales - 1 of all blocks, shifts of all blocks, color
        # transform - identity.
        film_channels = sum(self.inner_widths) if config.norm == "batch_film" else 0
        color_params = (
            config.out_channels * (config.in_channels + 1) if config.color_transform else 0
        )
        self.split_points = (film_channels, 2 * film_channels)
        self.film = (
            FilmPredictor(config.in_channels, config.multiple, 2 * film_channels + color_params)
            if film_channels or color_params
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.down(x)
        if self.film is None:
            return finalize_output(self.config, x, self._decode(y))
        scales, shifts, color_params = self.film(x).tensor_split(self.split_points, 1)
        y = self._decode(y, scales[:, :, None, None], shifts[:, :, None, None])
        if self.config.color_transform:
            y = y + _apply_color_transform(
                x, color_params.view(x.shape[0], self.config.out_channels, -1)
            )
        return finalize_output(self.config, x, y)

    def _decode(
        self, y: Tensor, scales: Tensor | None = None, shifts: Tensor | None = None
    ) -> Tensor:
        """Run the blocks and the layers after them."""
        if self.config.norm == "batch_film" and scales is not None and shifts is not None:
            ends = tuple(accumulate(self.inner_widths[:-1]))
            film_params = zip(
                scales.tensor_split(ends, 1), shifts.tensor_split(ends, 1), strict=True
            )
            for block, (scale, shift) in zip(self.blocks, film_params, strict=True):
                y = block(y, scale, shift)
        else:
            for block in self.blocks:
                y = block(y)
        out: Tensor = self.up(y)
        return out

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Rename old keys. `load_state_dict` of this module and of its parents calls it."""
        for old, new in _OLD_KEYS.items():
            for key in [key for key in state_dict if key.startswith(prefix + old)]:
                state_dict[key.replace(prefix + old, prefix + new, 1)] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args)


def _apply_color_transform(x: Tensor, color_params: Tensor) -> Tensor:
    """Map N,in,H,W by N,out,in+1 (a matrix and a shift per image) to N,out,H,W."""
    matrix, shift = color_params[:, :, :-1], color_params[:, :, -1:]
    mapped = matrix @ x.flatten(2) + shift
    return mapped.view(*mapped.shape[:2], *x.shape[2:])


def _conv3x3_layers(config: GeneratorConfig, channels: int, out: int) -> list[nn.Module]:
    """Build a 3x3 convolution that keeps the size; "separable" splits it in two."""
    mode = PADDING_MODES[config.padding]
    if config.block != "separable":
        return [nn.Conv2d(channels, out, 3, 1, 1, bias=config.bias, padding_mode=mode)]
    return [
        nn.Conv2d(
            channels, channels, 3, 1, 1, groups=channels, bias=config.bias, padding_mode=mode
        ),
        norm_layer(channels, config.norm),
        nn.Conv2d(channels, out, 1, bias=config.bias),
    ]
