"""uint8 image inputs and outputs: the conversions inside the graph, for engines behind a bus."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Uint8IO(nn.Module):
    """A network with uint8 (N, H, W, 3) tensors instead of float32 (N, 3, H, W) in [-1, 1].

    The casts are the first and the last node, as TensorRT requires. Values are rounded to nearest,
    half to even, and clamped, like the C library's `unpack`. Statistics pass through.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, statistics_in: Tensor | None = None) -> Any:
        x = image.float().permute(0, 3, 1, 2) / 127.5 - 1
        if statistics_in is None:
            return _to_uint8(self.network(x))
        out, statistics_out = self.network(x, statistics_in)
        return _to_uint8(out), statistics_out


def _to_uint8(x: Tensor) -> Tensor:
    """Convert float32 (N, 3, H, W) in [-1, 1] to uint8 (N, H, W, 3)."""
    return torch.round((x + 1) * 127.5).clamp(0, 255).permute(0, 2, 3, 1).to(torch.uint8)
