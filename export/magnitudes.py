"""Whether a network's values fit into FP16, on real frames and in FP32, where nothing is lost.

A comparison on a CPU does not tell: its engines widen FP16 inside a layer, a GPU's may not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cgt.runtime.errors import QualityError
from cgt.runtime.preprocess import F32

from .hooks import looking

LARGEST = 65504.0  # of FP16
_NORMS = (nn.modules.instancenorm._InstanceNorm,)


@dataclass
class Magnitudes:
    """The largest in all frames, and the layer that has it."""

    value: float = 0.0
    value_at: str = ""
    square: float = 0.0  # mean over a channel of the squares that a norm adds up
    square_at: str = ""

    def require_fp16(self, fp16_norm: bool) -> None:
        """Raises QualityError, naming the layer, where something overflows."""
        way_out = "export with --bf16 or --fp32"
        if not self.value <= LARGEST:
            raise QualityError(
                f"the values of {self.value_at} reach {self.value:.3g}, and FP16 ends at "
                f"{LARGEST:.0f}; {way_out}"
            )
        if fp16_norm and not self.square <= LARGEST:
            raise QualityError(
                f"the squares in the norm {self.square_at} reach {self.square:.3g}, and FP16 ends "
                f"at {LARGEST:.0f}; leave out --fp16-norm"
            )


def measure_magnitudes(network: nn.Module, frames: Iterable[F32]) -> Magnitudes:
    """Run the network in FP32 over float32 3,H,W frames."""
    found = Magnitudes()

    def look(name: str, module: nn.Module, given: Tensor, out: Tensor) -> None:
        value = float(out.abs().max())
        if not value <= found.value:
            found.value, found.value_at = value, name
        if isinstance(module, _NORMS):
            square = float(given.square().mean((2, 3)).max())
            if not square <= found.square:
                found.square, found.square_at = square, name

    with looking(network, nn.Module, look), torch.no_grad():
        for frame in frames:
            network(torch.from_numpy(frame[None]))
    return found
