"""Networks that compute in FP16 or BF16."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from cgt.trainer.networks.student import MeanStdPool

from ..config import NormPrecision
from .norms import DecomposedNorm

_CONV_LAYERS = (nn.modules.conv._ConvNd,)
_INSTANCE_NORM = nn.modules.instancenorm._InstanceNorm
_NORM_LAYERS = (_INSTANCE_NORM, nn.modules.batchnorm._BatchNorm)


class _KeepFP32(nn.Module):
    """A layer that computes in FP32 inside a network of another type."""

    def __init__(self, layer: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = layer
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(x.float()).to(self.dtype)
        return out


class ReducedConvolutions(nn.Module):
    """A network of any code whose convolutions and linear layers compute in FP16 or BF16.

    All between them stays in FP32: what it computes is unknown, and may exceed FP16's range (norms
    and attention do). Transposed convolutions stay in FP32 in a BF16 network, as above.

    Args:
        network: Network to convert in place; pass a copy.
        dtype: torch.float16 or torch.bfloat16.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype = torch.float16) -> None:
        super().__init__()
        for module in network.modules():
            # Subclasses of Linear belong to layers that read their weights without calling them.
            if isinstance(module, _CONV_LAYERS) or type(module) is nn.Linear:
                transposed = isinstance(module, nn.modules.conv._ConvTransposeNd)
                if not (transposed and dtype == torch.bfloat16):
                    _compute_in(module, dtype)
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(x)
        return out


def _compute_in(module: nn.Module, dtype: torch.dtype) -> None:
    """Convert a layer's weights, and each of its calls, but not what the caller sees."""
    call = module.forward

    def forward(input: Tensor, *args: Any, **named: Any) -> Tensor:
        out: Tensor = call(input.to(dtype), *args, **named).float()
        return out

    module.to(dtype)
    module.forward = forward


class ReducedPrecision(nn.Module):
    """A network whose convolutions compute in FP16 or BF16, with float32 inputs and outputs.

    The sums of norms stay in FP32 unless `norm_precision` is "fp16": the sum of squares over a
    whole image exceeds FP16's range (TensorRT #2691, ONNX Runtime #10079). The pooling of a
    student's global color transform always stays in FP32. Transposed convolutions stay in FP32 in a
    BF16 network, because TensorRT-RTX 1.7 does not build them in BF16.

    Args:
        network: Network to convert in place; pass a copy.
        dtype: torch.float16 or torch.bfloat16.
        norm_precision: "fp32" for norms in FP32, "mixed" for instance norms whose statistics are
            FP32 and applied in `dtype` (see `DecomposedNorm`), "fp16" for norms in `dtype`.
    """

    def __init__(
        self,
        network: nn.Module,
        dtype: torch.dtype = torch.float16,
        norm_precision: NormPrecision = "fp32",
    ) -> None:
        super().__init__()
        self.dtype = dtype
        fp32_types: tuple[type[nn.Module], ...] = (
            (MeanStdPool,) if norm_precision == "fp16" else (*_NORM_LAYERS, MeanStdPool)
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
            if norm_precision == "mixed" and isinstance(child, _INSTANCE_NORM):
                setattr(module, name, DecomposedNorm(child))
            else:
                setattr(module, name, _KeepFP32(child, dtype))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(x.to(self.dtype)).float()
        return out
