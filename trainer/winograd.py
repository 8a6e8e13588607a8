"""A network's 3x3 convolutions in less time, where PyTorch has no quicker way itself.

oneDNN has Winograd's algorithm for AVX-512 alone; NNPACK, which PyTorch carries, has F(6x6, 3x3)
(Lavin & Gray 2016) for AVX2. One picture at a time, a convolution of 256 channels at 64x64 takes a
third of the time so (20 ms of a Zen 3 core, not 63), and is as exact to 3e-5 of its largest value.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CHANNELS, SIDE = 64, 32  # the fewest, and the shortest side, where it is quicker


def answer_quicker(network: nn.Module) -> None:
    """In place, for inference in float32; weights and state-dict keys stay. Does nothing on CPUs
    that have more than AVX2, or less, or a PyTorch without NNPACK."""
    # The first call of _nnpack_available is what makes the others work.
    if torch.backends.cpu.get_cpu_capability() != "AVX2" or not torch._nnpack_available():
        return
    for module in network.modules():
        if (
            type(module) is nn.Conv2d
            and module.kernel_size == (3, 3)
            and module.padding in ((0, 0), (1, 1))
            and module.padding_mode == "zeros"
            and module.stride == module.dilation == (1, 1)
            and module.groups == 1
            and min(module.in_channels, module.out_channels) >= CHANNELS
        ):
            module.__class__ = _Winograd


class _Winograd(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        plain = input.dtype == self.weight.dtype == torch.float32
        busy = torch.is_grad_enabled() or torch.is_autocast_enabled(input.device.type)
        if busy or not plain or len(input) > 1 or min(input.shape[2:]) < SIDE:
            return super().forward(input)
        border = [1, 1] if self.padding == (1, 1) else [0, 0]
        return torch._nnpack_spatial_convolution(input.contiguous(), self.weight, self.bias, border)
