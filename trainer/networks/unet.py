"""U-Net generator of pix2pix (Isola et al. 2017, appendix 6.1.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import GeneratorConfig
from .layers import finalize_output, norm_layer, output_layer


class _UnetSkipBlock(nn.Module):
    """Skip connection around all deeper levels, which run at half the size: NCHW -> N,2C,H,W."""

    def __init__(self, config: GeneratorConfig, depth: int) -> None:
        super().__init__()
        widths = config.stage_widths
        outer, inner = widths[depth - 1], widths[depth]
        deepest = depth == config.levels - 1
        down = nn.Conv2d(outer, inner, 4, 2, 1, bias=config.bias)
        up = nn.ConvTranspose2d(inner if deepest else 2 * inner, outer, 4, 2, 1, bias=config.bias)
        between = (
            [] if deepest else [norm_layer(inner, config.norm), _UnetSkipBlock(config, depth + 1)]
        )
        layers = [nn.LeakyReLU(0.2), down, *between, nn.ReLU(), up, norm_layer(outer, config.norm)]
        # Dropout is on the levels of full width, except for the deepest.
        if config.dropout and not deepest and outer == inner:
            layers.append(nn.Dropout(0.5))
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.model(x)], 1)


class _OutermostBlock(nn.Module):
    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        ngf = config.stage_widths[0]
        self.model = nn.Sequential(
            nn.Conv2d(config.in_channels, ngf, 4, 2, 1, bias=config.bias),
            _UnetSkipBlock(config, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * ngf, config.out_channels, 4, 2, 1),
            output_layer(config.output_activation),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out


class UnetGenerator(nn.Module):
    """U-Net generator: N,in,H,W -> N,out,H,W in [-1, 1]; H, W multiples of config.multiple."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.model = _OutermostBlock(config)

    def forward(self, x: Tensor) -> Tensor:
        return finalize_output(self.config, x, self.model(x))
