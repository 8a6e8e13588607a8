"""Multiply-accumulate (MAC) counts of generators."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from . import build_generator
from .config import GeneratorConfig


def count_network_macs(network: nn.Module, channels: int, size: tuple[int, int]) -> int:
    """Count the multiply-accumulates of any network by running it once.

    Args:
        network: The network, on the CPU.
        channels: Channels of its input.
        size: (height, width) of one image, in pixels.

    Returns:
        MACs per image, of convolutions, matrix products and attention.
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, channels, *size))
    return int(counter.get_total_flops()) // 2


def count_macs(config: GeneratorConfig, size: tuple[int, int]) -> int:
    """Count the multiply-accumulates of the convolutions without running them.

    A transposed convolution multiplies each *input* pixel by its kernel. Published counts often use
    output pixels, which is four times too high for these layers (ResNet-9 at 256x256: 49.55 G, not
    56.8 G).

    Args:
        config: The generator.
        size: (height, width) of one image, in pixels.

    Returns:
        MACs per image.
    """
    with torch.device("meta"):
        network = build_generator(config)
        image = torch.empty(1, config.in_channels, *size)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(image)
    return int(counter.get_total_flops()) // 2
