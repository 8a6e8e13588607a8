"""Projected discriminator on frozen EfficientNet features.

"Projected GANs Converge Faster" (Sauer et al. 2021): a frozen EfficientNet-Lite0 projects real and
generated images to features, and small heads classify the features at three scales. A
discriminator trained from scratch needs hours to separate paintings from photographs; this one
needs minutes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .efficientnet import load_efficientnet, normalize_input

# Block of EfficientNet-Lite0 -> channels of its output, at 1/4, 1/8 and 1/16 of the resolution.
_TAP_CHANNELS = {2: 24, 4: 40, 10: 112}


def extract_features(x: Tensor) -> list[Tensor]:
    """Return the activations after the blocks in _TAP_CHANNELS; x is N,3,H,W in [-1, 1]."""
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
    """Projected discriminator: N,3,H,W in [-1, 1] -> N,1,3,K, K logits at each of three scales.

    H and W must be multiples of 16. The frozen network is not part of the state dict.

    Args:
        ndf: Width of the heads.
    """

    def __init__(self, ndf: int = 64) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            self._build_head(channels, ndf, n_downsampling)
            for channels, n_downsampling in zip(_TAP_CHANNELS.values(), (2, 1, 0), strict=True)
        )

    @staticmethod
    def _build_head(channels: int, ndf: int, n_downsampling: int) -> nn.Sequential:
        """Build a head that ends at 1/16, so that all scales yield the same number of logits."""
        norm = nn.utils.parametrizations.spectral_norm
        layers: list[nn.Module] = [norm(nn.Conv2d(channels, ndf, 1)), nn.LeakyReLU(0.2)]
        for _ in range(n_downsampling):
            layers += [norm(nn.Conv2d(ndf, ndf, 4, 2, 1)), nn.LeakyReLU(0.2)]
        layers += [norm(nn.Conv2d(ndf, ndf, 3, 1, 1)), nn.LeakyReLU(0.2)]
        return nn.Sequential(*layers, norm(nn.Conv2d(ndf, 1, 3, 1, 1)))

    def forward(self, x: Tensor) -> Tensor:
        head_inputs = zip(self.heads, extract_features(x), strict=True)
        return torch.cat([head(feature).flatten(2)[:, :, None] for head, feature in head_inputs], 2)
