"""Generators with the wiring of six public projects, whose files leave it open."""

from __future__ import annotations

import torch
from torch import nn

# ---- InstanceNorm with tracked statistics --------------------------------------------------------


class TrackedBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        norm = lambda: nn.InstanceNorm2d(channels, track_running_stats=True)  # noqa: E731
        self.res = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            norm(),
            nn.ReLU(True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            norm(),
        )

    def forward(self, x):
        return x + self.res(x)


class Tracked(nn.Module):
    def __init__(self, width=16, blocks=9):
        super().__init__()

        def norm(channels):
            return nn.InstanceNorm2d(channels, track_running_stats=True)

        up = {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1}
        self.main = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(3, width, 7),
            norm(width),
            nn.ReLU(True),
            nn.Conv2d(width, 2 * width, 3, 2, 1),
            norm(2 * width),
            nn.ReLU(True),
            nn.Conv2d(2 * width, 4 * width, 3, 2, 1),
            norm(4 * width),
            nn.ReLU(True),
            *(TrackedBlock(4 * width) for _ in range(blocks)),
            nn.ConvTranspose2d(4 * width, 2 * width, **up),
            norm(2 * width),
            nn.ReLU(True),
            nn.ConvTranspose2d(2 * width, width, **up),
            norm(width),
            nn.ReLU(True),
            nn.ReflectionPad2d(3),
            nn.Conv2d(width, 3, 7),
            nn.Tanh(),
        )

    def forward(self, x):
        return self.main(x)


# ---- Blocks without norms, ReLU before the addition ----------------------------------------------


class BareBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")

    def forward(self, x):
        return x + torch.relu(self.conv2(torch.relu(self.conv1(x))))


class BareBlocks(nn.Module):
    def __init__(self, width=32, blocks=4, pad="reflect"):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 7, padding=3, padding_mode=pad),
            nn.InstanceNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, 2, 1),
            nn.InstanceNorm2d(2 * width),
            nn.ReLU(),
            nn.Conv2d(2 * width, 4 * width, 3, 2, 1),
            nn.InstanceNorm2d(4 * width),
            nn.ReLU(),
        )
        self.transformer = nn.Sequential(*(BareBlock(4 * width) for _ in range(blocks)))
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(4 * width, 2 * width, 3, 2, 1, 1),
            nn.InstanceNorm2d(2 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 3, 2, 1, 1),
            nn.InstanceNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 3, 7, padding=3, padding_mode=pad),
            nn.Tanh(),
        )

    def forward(self, x):
        return self.decoder(self.transformer(self.encoder(x)))


# ---- No norm after the first convolution ---------------------------------------------------------


class NamedConv(nn.Module):
    def __init__(self, inputs, outputs, up=False, act=True, **settings):
        super().__init__()
        conv = (
            nn.ConvTranspose2d(inputs, outputs, **settings)
            if up
            else nn.Conv2d(inputs, outputs, padding_mode="reflect", **settings)
        )
        self.conv = nn.Sequential(
            conv, nn.InstanceNorm2d(outputs), nn.ReLU(True) if act else nn.Identity()
        )

    def forward(self, x):
        return self.conv(x)


class NamedBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.block = nn.Sequential(
            NamedConv(channels, channels, kernel_size=3, padding=1),
            NamedConv(channels, channels, act=False, kernel_size=3, padding=1),
        )

    def forward(self, x):
        return x + self.block(x)


class BareStem(nn.Module):
    def __init__(self, width=16, blocks=4):
        super().__init__()
        self.initial_layer = nn.Sequential(
            nn.Conv2d(3, width, 7, 1, 3, padding_mode="reflect"), nn.ReLU(True)
        )
        down = {"kernel_size": 3, "stride": 2, "padding": 1}
        self.downsampling_layers = nn.ModuleList(
            [NamedConv(width, 2 * width, **down), NamedConv(2 * width, 4 * width, **down)]
        )
        self.residual_layers = nn.Sequential(*(NamedBlock(4 * width) for _ in range(blocks)))
        up = {**down, "output_padding": 1}
        self.upsampling_layers = nn.ModuleList(
            [
                NamedConv(4 * width, 2 * width, up=True, **up),
                NamedConv(2 * width, width, up=True, **up),
            ]
        )
        self.last_layer = nn.Conv2d(width, 3, 7, 1, 3, padding_mode="reflect")

    def forward(self, x):
        x = self.initial_layer(x)
        for layer in self.downsampling_layers:
            x = layer(x)
        x = self.residual_layers(x)
        for layer in self.upsampling_layers:
            x = layer(x)
        return torch.tanh(self.last_layer(x))


# ---- One block, applied nine times ---------------------------------------------------------------


class Stage(nn.Module):
    def __init__(self, inputs, outputs, up=False):
        super().__init__()
        self.up = up
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 1 if up else 2, 1)
        self.norm1 = nn.InstanceNorm2d(outputs)

    def forward(self, x):
        if self.up:
            x = nn.functional.interpolate(x, scale_factor=2)
        return torch.relu(self.norm1(self.conv1(x)))


class SharedBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")
        self.norm = nn.InstanceNorm2d(channels)

    def forward(self, x):
        return x + self.norm(self.conv2(torch.relu(self.norm(self.conv1(x)))))


class Shared(nn.Module):
    def __init__(self, width=64, times=9):
        super().__init__()
        self.times = times
        self.in_block = nn.Sequential(
            nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7), nn.InstanceNorm2d(width), nn.ReLU()
        )
        self.DS1, self.DS2 = Stage(width, 2 * width), Stage(2 * width, 4 * width)
        self.res_forward = SharedBlock(4 * width)
        self.US1, self.US2 = Stage(4 * width, 2 * width, True), Stage(2 * width, width, True)
        self.out_block = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())

    def forward(self, x):
        x = self.DS2(self.DS1(self.in_block(x)))
        for _ in range(self.times):
            x = self.res_forward(x)
        return self.out_block(self.US2(self.US1(x)))


# ---- GroupNorm -----------------------------------------------------------------------------------


class GroupConv(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride=1, norm=True, act=True):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, padding_mode="reflect")
        self.norm = nn.GroupNorm(outputs // 2, outputs) if norm else None
        self.act = act

    def forward(self, x):
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x)
        return torch.relu(x) if self.act else x


class GroupBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv_block = nn.Sequential(
            GroupConv(channels, channels, 3), GroupConv(channels, channels, 3, act=False)
        )

    def forward(self, x):
        return x + self.conv_block(x)


class Grouped(nn.Module):
    def __init__(self, width=16, blocks=9):
        super().__init__()
        self.down_blocks = nn.Sequential(
            GroupConv(3, width, 7),
            GroupConv(width, 2 * width, 3, 2),
            GroupConv(2 * width, 4 * width, 3, 2),
        )
        self.middle_blocks = nn.Sequential(*(GroupBlock(4 * width) for _ in range(blocks)))
        self.up_blocks = nn.Sequential(
            GroupConv(4 * width, 2 * width, 3),
            nn.Upsample(scale_factor=2, mode="bilinear"),
            GroupConv(2 * width, width, 3),
            nn.Upsample(scale_factor=2, mode="bilinear"),
            GroupConv(width, 3, 7, norm=False, act=False),
        )

    def forward(self, x):
        return torch.tanh(self.up_blocks(self.middle_blocks(self.down_blocks(x))))


# ---- No tanh -------------------------------------------------------------------------------------


class StyleConv(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride, norm=True):
        super().__init__()
        self.pad = nn.ReflectionPad2d(kernel // 2)
        self.conv_layer = nn.Conv2d(inputs, outputs, kernel, stride)
        if norm:
            self.norm_layer = nn.InstanceNorm2d(outputs, affine=True)

    def forward(self, x):
        x = self.conv_layer(self.pad(x))
        return self.norm_layer(x) if hasattr(self, "norm_layer") else x


class StyleUp(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv_transpose = nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, 1)
        self.norm_layer = nn.InstanceNorm2d(outputs, affine=True)

    def forward(self, x):
        return self.norm_layer(self.conv_transpose(x))


class StyleBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = StyleConv(channels, channels, 3, 1)
        self.conv2 = StyleConv(channels, channels, 3, 1)

    def forward(self, x):
        return self.conv2(torch.relu(self.conv1(x))) + x


class Style(nn.Module):
    def __init__(self):
        super().__init__()
        self.ConvBlock = nn.Sequential(
            StyleConv(3, 32, 9, 1),
            nn.ReLU(),
            StyleConv(32, 64, 3, 2),
            nn.ReLU(),
            StyleConv(64, 128, 3, 2),
            nn.ReLU(),
        )
        self.ResidualBlock = nn.Sequential(*(StyleBlock(128) for _ in range(5)))
        self.DeconvBlock = nn.Sequential(
            StyleUp(128, 64), nn.ReLU(), StyleUp(64, 32), nn.ReLU(), StyleConv(32, 3, 9, 1, False)
        )

    def forward(self, x):
        return self.DeconvBlock(self.ResidualBlock(self.ConvBlock(x)))
