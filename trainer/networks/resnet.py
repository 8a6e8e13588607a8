"""ResNet generator of CycleGAN (Zhu et al. 2017, appendix 7.2; Johnson et al. 2016)."""

from __future__ import annotations

from torch import Tensor, nn

from .config import GeneratorConfig
from .layers import (
    SeparableConv,
    activation_layer,
    downsample_layers,
    finalize_output,
    norm_layer,
    output_layer,
    padding_layer,
    to_value_range,
    upsample_layers,
)


class ResnetBlock(nn.Module):
    """Residual block of two padded 3x3 convolutions with `inner` channels in between.

    Maps NCHW to NCHW. It adds its input unless config.residual is False. config.block_order has
    the order of its layers.
    """

    def __init__(self, config: GeneratorConfig, channels: int, inner: int) -> None:
        super().__init__()
        self.residual = config.residual
        kind, order = config.norm, config.block_order
        first = [norm_layer(inner, kind), activation_layer(config.activation)]
        last = [norm_layer(channels, kind)]
        if order == "activation_first":
            first.reverse()
            last.insert(0, activation_layer(config.activation))
        elif order == "activation_only":
            first, last = ([activation_layer(config.activation)] for _ in range(2))
        self.conv_block = nn.Sequential(
            padding_layer(config.padding, 1),
            self._conv(config, channels, inner),
            *first,
            *([nn.Dropout(0.5)] if config.dropout else []),
            padding_layer(config.padding, 1),
            self._conv(config, inner, channels),
            *last,
        )
        self.activation = (
            activation_layer(config.activation) if order == "activation_last" else nn.Identity()
        )

    @staticmethod
    def _conv(config: GeneratorConfig, channels: int, out: int) -> nn.Module:
        if config.block == "separable":
            return SeparableConv(channels, out, config.norm)
        return nn.Conv2d(channels, out, 3, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv_block(x)
        return self.activation(x + out if self.residual else out)  # type: ignore[no-any-return]


class ResnetGenerator(nn.Module):
    """ResNet generator: N,in,H,W -> N,out,H,W in [-1, 1]; H, W multiples of config.multiple."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.stage_widths
        levels = config.levels
        down, inner, up = widths[1 : levels + 1], widths[levels + 1 : -levels], widths[-levels:]
        c = widths[0]
        layers: list[nn.Module] = self._stem_layers(config, c)
        if not config.no_stem_norm:
            layers.append(norm_layer(c, config.norm))
        if not config.no_stem_norm or config.stem_activation:
            layers.append(activation_layer(config.activation))
        for out in down:
            layers += downsample_layers(config, c, out)
            c = out
        layers += [ResnetBlock(config, c, between) for between in inner]
        for out in up:
            layers += upsample_layers(config, c, out)
            c = out
        layers += [*self._head_layers(config, c), output_layer(config.output_activation)]
        self.model = nn.Sequential(*layers)

    @staticmethod
    def _stem_layers(config: GeneratorConfig, out: int) -> list[nn.Module]:
        channels, kernel = config.in_channels, config.stem_kernel
        if kernel % 2 == 0:
            return [nn.Conv2d(channels, out, kernel, 2, 1, bias=config.bias)]
        return [
            padding_layer(config.stem_padding, kernel // 2),
            nn.Conv2d(channels, out, kernel, bias=config.bias),
        ]

    @staticmethod
    def _head_layers(config: GeneratorConfig, channels: int) -> list[nn.Module]:
        out, kernel = config.out_channels, config.stem_kernel
        if kernel % 2 == 0:
            return [nn.ConvTranspose2d(channels, out, kernel, 2, 1)]
        return [padding_layer(config.stem_padding, kernel // 2), nn.Conv2d(channels, out, kernel)]

    def forward(self, x: Tensor) -> Tensor:
        return finalize_output(self.config, x, self.model(to_value_range(self.config, x)))
