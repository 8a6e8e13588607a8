"""A ResNet with more channels between the convolutions of its blocks, which answers as it did.

What the first convolution of a block gives newly is random, and the second does not look at it
yet; training finds a use for it (a step that preserves the function, as in Net2Net, Chen et al.
2016)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from cgt.runtime.errors import UsageError

from .config import GeneratorConfig
from .networks import ResnetBlock, build_generator


def widened(network: nn.Module, config: GeneratorConfig, inner: int) -> nn.Module:
    """network: of `config`. The result, in the same mode, is of `wide(config, inner)`. Raises
    UsageError as that does."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        new = build_generator(wide(config, inner))
    for block in new.modules():
        if isinstance(block, ResnetBlock):
            _, second = (m for m in block.conv_block if isinstance(m, nn.Conv2d))
            nn.init.zeros_(second.weight)
    weights = new.state_dict()
    for name, value in network.state_dict().items():
        weights[name][tuple(slice(0, side) for side in value.shape)] = value
    new.load_state_dict(weights)
    return new.train(network.training)


def wide(config: GeneratorConfig, inner: int) -> GeneratorConfig:
    """With so many channels between the convolutions of each block. Raises UsageError where blocks
    have more, or none whose convolutions are plain."""
    if config.family != "resnet" or config.block != "plain":
        raise UsageError("only a ResNet with plain convolutions can be made wider")
    widths, levels = config.stage_widths, config.levels
    if inner < (most := max(widths[levels + 1 : -levels])):
        raise UsageError(f"it has {most} channels in its blocks already; {inner} are fewer")
    head, tail = widths[: levels + 1], widths[-levels:]
    return replace(config, widths=(*head, *[inner] * config.blocks, *tail))
