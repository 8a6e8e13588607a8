"""Weight initialization of generators and discriminators."""

from __future__ import annotations

import torch
from torch import nn

from .resnet import ResnetBlock, ResnetGenerator
from .student import StudentBlock, StudentGenerator
from .unet import UnetGenerator


def init_weights(network: nn.Module, kind: str = "normal", gain: float = 0.02) -> None:
    """Initialize convolutions and batch norms in place; biases are zero, norms scale by about 1.

    Args:
        network: The network to initialize.
        kind: Distribution of the convolution weights: "normal" with standard deviation `gain`, as
            in the CycleGAN and pix2pix papers; "xavier" (Glorot and Bengio 2010) and "orthogonal"
            (Saxe et al. 2013), both scaled by `gain`; "kaiming" (He et al. 2015) for ReLU.
        gain: Scale of the distribution, unused by "kaiming".
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            if kind == "normal":
                nn.init.normal_(module.weight, 0.0, gain)
            elif kind == "xavier":
                nn.init.xavier_normal_(module.weight, gain)
            elif kind == "kaiming":
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            else:
                nn.init.orthogonal_(module.weight, gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, gain)
            nn.init.zeros_(module.bias)


def init_generator(
    network: ResnetGenerator | StudentGenerator | UnetGenerator,
    kind: str = "auto",
    gain: float = 0.02,
) -> None:
    """Initialize a generator in place; see `init_weights`.

    With kind "auto", a generator with norms gets the paper's "normal" distribution. Norms undo any
    scale; a generator without them gets "kaiming", which preserves the scale of activations, and
    every residual branch starts small (Fixup, Zhang et al. 2019). The residual that a student with
    a color transform adds starts small, too.
    """
    without_norms = kind == "auto" and network.config.norm == "none"
    init_weights(
        network, "kaiming" if without_norms else "normal" if kind == "auto" else kind, gain
    )
    damped: list[nn.Module] = []
    if without_norms:
        blocks = (ResnetBlock, StudentBlock)
        damped += [module for module in network.modules() if isinstance(module, blocks)]
    if without_norms or network.config.color_transform:
        damped.append(network.up if isinstance(network, StudentGenerator) else network)
    for branch in damped:
        last = [m for m in branch.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)][-1]
        with torch.no_grad():
            last.weight.mul_(0.1)
