"""Networks that compute in 16 bits."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from cgt.trainer.networks.student import MeanStdPool

_NORM_LAYERS = (nn.modules.instancenorm._InstanceNorm, nn.modules.batchnorm._BatchNorm)


class _KeepFP32(nn.Module):
    """A layer that computes in FP32 inside a network of another type."""

    def __init__(self, layer: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = layer
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(x.float()).to(self.dtype)
        return out


class ReducedPrecision(nn.Module):
    """A network whose convolutions compute in FP16 or BF16; float32 in and out.

    Norms stay FP32 unless narrow_norms: the sum of squares over a whole picture leaves FP16's range
    (TensorRT #2691, ONNX Runtime #10079). What sums up a picture for a student's steering stays so
    in any case, and transposed convolutions do in BF16, which TensorRT-RTX 1.7 does not build. The
    given network is converted in place: pass a copy.
    """

    def __init__(
        self, network: nn.Module, dtype: torch.dtype = torch.float16, convert_norms: bool = False
    ) -> None:
        super().__init__()
        self.dtype = dtype
        fp32_types: tuple[type[nn.Module], ...] = (
            (MeanStdPool,) if convert_norms else (*_NORM_LAYERS, MeanStdPool)
        )
        if dtype == torch.bfloat16:
            fp32_types = (*fp32_types, nn.ConvTranspose2d)
        kept = [
            (module, name, copy.deepcopy(child))  # before its parameters lose bits
            for module in network.modules()
            for name, child in module.named_children()
            if isinstance(child, fp32_types)
        ]
        self.network = network.to(dtype)
        for module, name, child in kept:
            setattr(module, name, _KeepFP32(child, dtype))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(x.to(self.dtype)).float()
        return out
