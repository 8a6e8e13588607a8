"""PatchGAN and pixel discriminators of CycleGAN and pix2pix (Isola et al. 2017, app. 6.1.2)."""

from __future__ import annotations

from torch import Tensor, nn

from .layers import norm_layer


class PatchDiscriminator(nn.Module):
    """PatchGAN discriminator: N,in,H,W -> N,1,h,w, one logit per patch.

    With 3 layers a patch has 70x70 pixels.

    Args:
        ndf: Width of the first layer.
        in_channels: Channels of the input.
        layers: Number of 4x4 convolutions with a norm; all but the last have stride 2.
        norm: One of config.NORMS.
    """

    def __init__(
        self, ndf: int = 64, in_channels: int = 3, layers: int = 3, norm: str = "instance"
    ) -> None:
        super().__init__()
        modules: list[nn.Module] = [nn.Conv2d(in_channels, ndf, 4, 2, 1), nn.LeakyReLU(0.2, True)]
        width = ndf
        for index in range(1, layers + 1):
            out = ndf * min(2**index, 8)
            modules += [
                nn.Conv2d(width, out, 4, 2 if index < layers else 1, 1, bias=norm != "batch"),
                norm_layer(out, norm),
                nn.LeakyReLU(0.2, True),
            ]
            width = out
        modules += [nn.Conv2d(width, 1, 4, 1, 1)]
        self.model = nn.Sequential(*modules)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out


class PixelDiscriminator(nn.Module):
    """Discriminator of single pixels: N,in,H,W -> N,1,H,W; it sees colors but no shapes."""

    def __init__(self, ndf: int = 64, in_channels: int = 3, norm: str = "instance") -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(in_channels, ndf, 1),
            nn.LeakyReLU(0.2, True),
            nn.Conv2d(ndf, 2 * ndf, 1, bias=norm != "batch"),
            norm_layer(2 * ndf, norm),
            nn.LeakyReLU(0.2, True),
            nn.Conv2d(2 * ndf, 1, 1, bias=norm != "batch"),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out
