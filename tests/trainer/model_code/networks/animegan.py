"""Generator in the style of AnimeGAN: inverted residuals, layer norms, bilinear upsampling."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class ConvNormLReLU(nn.Sequential):
    def __init__(self, inputs, outputs, kernel=3, stride=1, groups=1):
        super().__init__(
            nn.ReflectionPad2d((1, 1, 1, 1) if kernel == 3 else (kernel // 2,) * 4),
            nn.Conv2d(inputs, outputs, kernel, stride, 0, groups=groups, bias=False),
            nn.GroupNorm(num_groups=1, num_channels=outputs, affine=True),
            nn.LeakyReLU(0.2, inplace=True),
        )


class InvertedResBlock(nn.Module):
    def __init__(self, inputs, outputs, expansion=2):
        super().__init__()
        self.use_res_connect = inputs == outputs
        hidden = round(inputs * expansion)
        self.layers = nn.Sequential(
            ConvNormLReLU(inputs, hidden, kernel=1),
            ConvNormLReLU(hidden, hidden, groups=hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.GroupNorm(num_groups=1, num_channels=outputs, affine=True),
        )

    def forward(self, x):
        out = self.layers(x)
        return x + out if self.use_res_connect else out


class ChannelsLastNorm(nn.Module):
    """LayerNorm over channels, as ConvNeXt has it."""

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x):
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Generator(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.block_a = nn.Sequential(
            ConvNormLReLU(3, width, 7),
            ConvNormLReLU(width, 2 * width, stride=2),
            ConvNormLReLU(2 * width, 2 * width),
        )
        self.block_b = ConvNormLReLU(2 * width, 4 * width, stride=2)
        self.block_c = nn.Sequential(
            InvertedResBlock(4 * width, 6 * width),
            InvertedResBlock(6 * width, 6 * width),
            ChannelsLastNorm(6 * width),
            ConvNormLReLU(6 * width, 4 * width),
        )
        self.block_d = ConvNormLReLU(4 * width, 2 * width)
        self.block_e = ConvNormLReLU(2 * width, width, 7)
        self.out_layer = nn.Sequential(nn.Conv2d(width, 3, 1, bias=False), nn.Tanh())

    def forward(self, x, align_corners=True):
        size = x.size()[-2:]
        half = torch.Size((size[0] // 2, size[1] // 2))
        out = self.block_c(self.block_b(self.block_a(x)))
        out = functional.interpolate(out, half, mode="bilinear", align_corners=align_corners)
        out = self.block_d(out)
        out = functional.interpolate(out, size, mode="bilinear", align_corners=align_corners)
        return self.out_layer(self.block_e(out))
