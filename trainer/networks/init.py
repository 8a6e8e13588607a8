"""How weights begin."""

from __future__ import annotations

import torch
from torch import nn

from .resnet import ResnetBlock, ResnetGenerator
from .student import StudentBlock, StudentGenerator
from .unet import UnetGenerator


def init_weights(network: nn.Module, kind: str = "normal", gain: float = 0.02) -> None:
    """Weights of convolutions drawn from a distribution, zero biases; norms scale by about 1.

    normal: deviation `gain`, as the papers train from scratch. xavier: Glorot and Bengio 2010,
    orthogonal: Saxe et al. 2013, both times `gain`. kaiming: He et al. 2015, for ReLU.
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
    """ "auto" is normal, as the paper does; without norms, which would undo any scale, He's, so
    that activations keep theirs, with every residual branch small at first (Zhang et al. 2019,
    "Fixup"); so is what a student adds to a picture whose colours it maps."""
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
