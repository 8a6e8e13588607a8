"""How weights begin."""

from __future__ import annotations

import torch
from torch import nn

from .resnet import ResnetBlock, ResnetGenerator
from .unet import UnetGenerator


def init_weights(network: nn.Module, std: float = 0.02) -> None:
    """Normal(0, std) weights, zero biases, as the paper trains from scratch."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def init_generator(network: ResnetGenerator | UnetGenerator) -> None:
    """As the paper does; without norms, which would undo any scale, so that activations keep
    theirs (He et al. 2015) and every residual branch begins small (Zhang et al. 2019, "Fixup")."""
    init_weights(network)
    if network.config.norm != "none":
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    branches = [module for module in network.modules() if isinstance(module, ResnetBlock)]
    for branch in (*branches, network):
        last = [m for m in branch.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)][-1]
        with torch.no_grad():
            last.weight.mul_(0.1)
