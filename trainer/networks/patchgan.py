"""The discriminator of CycleGAN (Isola et al. 2017)."""

from __future__ import annotations

from torch import Tensor, nn


class PatchDiscriminator(nn.Module):
    """N,in,H,W -> N,1,H/8-2,W/8-2: one verdict per 70x70 patch (Isola et al. 2017)."""

    def __init__(self, ndf: int = 64, in_channels: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(in_channels, ndf, 4, 2, 1), nn.LeakyReLU(0.2, True)]
        for c, stride in ((ndf, 2), (2 * ndf, 2), (4 * ndf, 1)):
            layers += [
                nn.Conv2d(c, 2 * c, 4, stride, 1),
                nn.InstanceNorm2d(2 * c),
                nn.LeakyReLU(0.2, True),
            ]
        layers += [nn.Conv2d(8 * ndf, 1, 4, 1, 1)]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out
