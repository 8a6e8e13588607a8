"""Functions that return an nn.Sequential."""

from __future__ import annotations

import itertools

from torch import nn


def make_generator(channels=(8, 16), kernel=3, *, groups=4):
    """Strided convolutions down, pixel shuffle up, GELU and group norms."""
    layers = [nn.Conv2d(3, channels[0], kernel, padding=kernel // 2), nn.GELU()]
    for inputs, outputs in itertools.pairwise(channels):
        layers += [
            nn.Conv2d(inputs, outputs, kernel, 2, kernel // 2),
            nn.GroupNorm(groups, outputs),
        ]
        layers += [nn.SiLU()]
    for inputs, outputs in zip(channels[:0:-1], channels[-2::-1], strict=True):
        layers += [nn.Conv2d(inputs, outputs * 4, kernel, padding=kernel // 2), nn.PixelShuffle(2)]
        layers += [nn.PReLU(outputs)]
    return nn.Sequential(*layers, nn.Conv2d(channels[0], 3, kernel, padding=kernel // 2), nn.Tanh())


ready = make_generator()
