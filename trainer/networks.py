"""The generator and discriminator of CycleGAN (Zhu et al. 2017, appendix 7.2).

State-dict keys are those of pytorch-CycleGAN-and-pix2pix, so weights move both ways.
Legend: N batch, C channels, H and W sides, ngf and ndf the width of the first layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import GeneratorConfig


def _norm(channels: int, kind: str = "instance") -> nn.Module:
    return nn.InstanceNorm2d(channels) if kind == "instance" else nn.Identity()


class ResnetBlock(nn.Module):
    """NCHW -> NCHW: the input plus two 3x3 convolutions of it, reflection padded."""

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            _norm(channels, norm),
            nn.ReLU(True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            _norm(channels, norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.conv_block(x)
        return out


def _upsample(kind: str, channels: int) -> nn.Module:
    """N,C,H,W -> N,C/2,2H,2W."""
    if kind == "transposed":
        return nn.ConvTranspose2d(channels, channels // 2, 3, 2, 1, 1)
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.ReflectionPad2d(1),
        nn.Conv2d(channels, channels // 2, 3),
    )


class ResnetGenerator(nn.Module):
    """N,in,H,W -> N,out,H,W in [-1, 1], H and W multiples of 4 (Johnson et al. 2016)."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        ngf, norm = config.ngf, config.norm
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(config.in_channels, ngf, 7),
            _norm(ngf, norm),
            nn.ReLU(True),
        ]
        for c in (ngf, 2 * ngf):
            layers += [nn.Conv2d(c, 2 * c, 3, 2, 1), _norm(2 * c, norm), nn.ReLU(True)]
        layers += [ResnetBlock(4 * ngf, norm) for _ in range(config.blocks)]
        for c in (4 * ngf, 2 * ngf):
            layers += [_upsample(config.upsampling, c), _norm(c // 2, norm), nn.ReLU(True)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, config.out_channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        if self.config.learn_residual:
            # A narrow network cannot carry a picture through 16 InstanceNorms, each of which
            # forgets its brightness; with the input at hand it need not (DeblurGAN, section 3.2).
            out = (x + out).clamp(-1, 1)
        return out


class PatchDiscriminator(nn.Module):
    """N,in,H,W -> N,1,H/8-2,W/8-2: one verdict per 70x70 patch (Isola et al. 2017)."""

    def __init__(self, ndf: int = 64, in_channels: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(in_channels, ndf, 4, 2, 1), nn.LeakyReLU(0.2, True)]
        for c, stride in ((ndf, 2), (2 * ndf, 2), (4 * ndf, 1)):
            layers += [
                nn.Conv2d(c, 2 * c, 4, stride, 1),
                _norm(2 * c),
                nn.LeakyReLU(0.2, True),
            ]
        layers += [nn.Conv2d(8 * ndf, 1, 4, 1, 1)]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out


def init_weights(network: nn.Module, std: float = 0.02) -> None:
    """Normal(0, std) weights, zero biases, as the paper trains from scratch."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def init_generator(network: ResnetGenerator) -> None:
    """As the paper does; without norms, which would undo any scale, so that activations keep
    theirs (He et al. 2015) and every residual branch begins small (Zhang et al. 2019, "Fixup")."""
    init_weights(network)
    if network.config.norm != "none":
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    last = [m.conv_block[5] for m in network.modules() if isinstance(m, ResnetBlock)]
    for module in (*last, network.model[-2]):
        assert isinstance(module, nn.Conv2d)
        with torch.no_grad():
            module.weight.mul_(0.1)
