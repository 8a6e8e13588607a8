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
MAX_DEVIATION = 2.0**14  # its inverse is FP16's smallest number with all digits
_INSTANCE_NORM_LAYERS = (nn.modules.instancenorm._InstanceNorm,)


@dataclass
class ActivationRange:
    """Largest activations of all images, and the layers that have them."""

    max_magnitude: float = 0.0
    max_magnitude_layer: str = ""
    max_mean_square: float = 0.0  # mean over a channel of a norm's squared inputs
    max_mean_square_layer: str = ""
    max_deviation: float = 0.0  # standard deviation of a channel of a norm's inputs
    max_deviation_layer: str = ""
    max_centered: float = 0.0  # magnitude of a norm's inputs minus the mean of their channel
    max_centered_layer: str = ""
    max_scale: float = 0.0  # factor of a norm
    max_scale_layer: str = ""

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

    def mixed_norm_obstacle(self) -> str:
        """Return why norms cannot apply their statistics in FP16; empty if they can."""
        if not self.max_centered <= FP16_MAX:
            return f"the values of the norm {self.max_centered_layer} reach {self.max_centered:.3g}"
        if not self.max_deviation <= MAX_DEVIATION:
            return (
                f"the deviation in the norm {self.max_deviation_layer} reaches "
                f"{self.max_deviation:.3g}"
            )
        if not self.max_scale <= FP16_MAX:
            return f"the scale of the norm {self.max_scale_layer} reaches {self.max_scale:.3g}"
        return ""

    def record(self, quantity: str, value: float, layer: str) -> None:
        """Keep a value if it is the largest so far, or not a number."""
        if not value <= getattr(self, quantity):
            setattr(self, quantity, value)
            setattr(self, f"{quantity}_layer", layer)


def measure_activation_range(network: nn.Module, frames: Iterable[F32]) -> ActivationRange:
    """Run the network in FP32 over float32 (3, H, W) images."""
    largest = ActivationRange()

    def record(name: str, module: nn.Module, x: Tensor, out: Tensor) -> None:
        magnitude = max(float(x.abs().max()), float(out.abs().max()))
        largest.record("max_magnitude", magnitude, name)
        if isinstance(module, _INSTANCE_NORM_LAYERS):
            largest.record("max_mean_square", float(x.square().mean((2, 3)).max()), name)
            variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
            scale = torch.rsqrt(variance + module.eps)
            if module.weight is not None:
                scale = scale * module.weight[:, None, None]
            largest.record("max_deviation", float(variance.sqrt().max()), name)
            largest.record("max_centered", float((x - mean).abs().max()), name)
            largest.record("max_scale", float(scale.abs().max()), name)

    with record_activations(network, nn.Module, record), torch.no_grad():
        for frame in frames:
            network(torch.from_numpy(frame[None]))
    return largest
