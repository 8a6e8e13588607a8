"""A discriminator that sees through a network trained on ImageNet.

"Projected GANs Converge Faster" (Sauer et al. 2021): real and generated images are projected into
the features of a frozen EfficientNet-Lite0, and small heads judge them there, at three scales.
Where a discriminator from scratch needs hours to tell a painting from a photograph, this one needs
minutes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .efficientnet import load_efficientnet, normalize_input

# Blocks of EfficientNet-Lite0 whose output is judged, and its channels: 1/4, 1/8 and 1/16.
_TAP_CHANNELS = {2: 24, 4: 40, 10: 112}


def extract_features(x: Tensor) -> list[Tensor]:
    """N,3,H,W in [-1, 1] -> the activations at _TAPS."""
    network = load_efficientnet(x.device)
    x = normalize_input(x)
    x = F.relu6(network._bn0(network._conv_stem(x)))
    activations = []
    for index, block in enumerate(network._blocks[: max(_TAP_CHANNELS) + 1]):
        x = block(x)
        if index in _TAP_CHANNELS:
            activations.append(x)
    return activations


class ProjectedDiscriminator(nn.Module):
    """N,3,H,W in [-1, 1] -> N,1,3,K: K verdicts on each of three scales; H, W multiples of 16.

    ndf: width of the heads. The frozen features are not part of the state dict.
    """

    def __init__(self, ndf: int = 64) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            self._build_head(channels, ndf, halvings)
            for channels, halvings in zip(_TAP_CHANNELS.values(), (2, 1, 0), strict=True)
        )

    @staticmethod
    def _build_head(channels: int, ndf: int, n_downsampling: int) -> nn.Sequential:
        """Down to 1/16 whatever the scale, so that all scales have equally many verdicts."""
        norm = nn.utils.parametrizations.spectral_norm
        layers: list[nn.Module] = [norm(nn.Conv2d(channels, ndf, 1)), nn.LeakyReLU(0.2)]
        for _ in range(n_downsampling):
            layers += [norm(nn.Conv2d(ndf, ndf, 4, 2, 1)), nn.LeakyReLU(0.2)]
        layers += [norm(nn.Conv2d(ndf, ndf, 3, 1, 1)), nn.LeakyReLU(0.2)]
        return nn.Sequential(*layers, norm(nn.Conv2d(ndf, 1, 3, 1, 1)))

    def forward(self, x: Tensor) -> Tensor:
        head_inputs = zip(self.heads, extract_features(x), strict=True)
        return torch.cat([head(feature).flatten(2)[:, :, None] for head, feature in head_inputs], 2)
