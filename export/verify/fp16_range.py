"""FP16 range check of a network's activations, on real images in FP32.

A comparison on a CPU does not detect overflow: its engines widen FP16 inside a layer, those of a
GPU may not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cgt.runtime.errors import QualityError
from cgt.runtime.image.preprocess import F32

from ..quantization.hooks import record_activations

FP16_MAX = 65504.0
_INSTANCE_NORM_LAYERS = (nn.modules.instancenorm._InstanceNorm,)


@dataclass
class ActivationRange:
    """Largest activations of all images, and the layers that have them."""

    max_magnitude: float = 0.0
    max_magnitude_layer: str = ""
    max_mean_square: float = 0.0  # mean over a channel of a norm's squared inputs
    max_mean_square_layer: str = ""

    def check_fp16_range(self, fp16_norm: bool) -> None:
        """Raise QualityError with the layer's name if a value overflows."""
        advice = "export with --bf16 or --fp32"
        if not self.max_magnitude <= FP16_MAX:
            raise QualityError(
                f"the values of {self.max_magnitude_layer} reach {self.max_magnitude:.3g}, above "
                f"the FP16 maximum of {FP16_MAX:.0f}; {advice}"
            )
        if fp16_norm and not self.max_mean_square <= FP16_MAX:
            raise QualityError(
                f"the squares in the norm {self.max_mean_square_layer} reach "
                f"{self.max_mean_square:.3g}, above the FP16 maximum of {FP16_MAX:.0f}; "
                "omit --fp16-norm"
            )


def measure_activation_range(network: nn.Module, frames: Iterable[F32]) -> ActivationRange:
    """Run the network in FP32 over float32 (3, H, W) images."""
    largest = ActivationRange()

    def record(name: str, module: nn.Module, x: Tensor, out: Tensor) -> None:
        value = max(float(x.abs().max()), float(out.abs().max()))
        if not value <= largest.max_magnitude:
            largest.max_magnitude, largest.max_magnitude_layer = value, name
        if isinstance(module, _INSTANCE_NORM_LAYERS):
            square = float(x.square().mean((2, 3)).max())
            if not square <= largest.max_mean_square:
                largest.max_mean_square, largest.max_mean_square_layer = square, name

    with record_activations(network, nn.Module, record), torch.no_grad():
        for frame in frames:
            network(torch.from_numpy(frame[None]))
    return largest
