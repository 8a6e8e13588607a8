"""The generator of CycleGAN (Zhu et al. 2017, appendix 7.2; Johnson et al. 2016)."""

from __future__ import annotations

from torch import Tensor, nn

from ..config import GeneratorConfig
from .layers import SeparableConv, answer, downsample, end, norm, pad, upsample


class ResnetBlock(nn.Module):
    """NCHW -> NCHW: the input plus two padded 3x3 convolutions of it, `inner` channels between."""

    def __init__(self, config: GeneratorConfig, channels: int, inner: int) -> None:
        super().__init__()
        kind = config.norm
        self.conv_block = nn.Sequential(
            pad(config.padding, 1),
            self._conv(config, channels, inner),
            norm(inner, kind),
            nn.ReLU(True),
            *([nn.Dropout(0.5)] if config.dropout else []),
            pad(config.padding, 1),
            self._conv(config, inner, channels),
            norm(channels, kind),
        )

    @staticmethod
    def _conv(config: GeneratorConfig, channels: int, out: int) -> nn.Module:
        if config.block == "mobile":
            return SeparableConv(channels, out, config.norm)
        return nn.Conv2d(channels, out, 3, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.conv_block(x)
        return out


class ResnetGenerator(nn.Module):
    """N,in,H,W -> N,out,H,W in [-1, 1]; H and W multiples of config.multiple."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.stage_widths
        levels, around = config.levels, config.ends_kernel // 2
        down, inner, up = widths[1 : levels + 1], widths[levels + 1 : -levels], widths[-levels:]
        c = widths[0]
        layers: list[nn.Module] = [
            pad(config.ends_padding, around),
            nn.Conv2d(config.in_channels, c, config.ends_kernel, bias=config.bias),
        ]
        if not config.bare_first:
            layers += [norm(c, config.norm), nn.ReLU(True)]
        for out in down:
            layers += downsample(config, c, out)
            c = out
        layers += [ResnetBlock(config, c, between) for between in inner]
        for out in up:
            layers += upsample(config, c, out)
            c = out
        layers += [
            pad(config.ends_padding, around),
            nn.Conv2d(c, config.out_channels, config.ends_kernel),
            end(config.output),
        ]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return answer(self.config, x, self.model(x))
