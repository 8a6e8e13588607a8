"""What a student sees on its way, against what its teacher does (Romero et al. 2015, "FitNets")."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgt.runtime.errors import UsageError

from ..networks import ResnetBlock
from ..networks.student import StudentBlock
from .losses import feature_loss
from .teacher import Teacher


class Adapter(nn.Module):
    """A 1x1 convolution from what the student's first block is given to what the teacher's is."""

    def __init__(self, teacher: Teacher, student: nn.Module) -> None:
        """Raises UsageError for networks that have no blocks."""
        super().__init__()
        self._encoder = (teacher.encoder,)  # which is no part of it
        self._seen = torch.empty(0)
        blocks = (m for m in student.modules() if isinstance(m, ResnetBlock | StudentBlock))
        first = next(blocks, None)
        if first is None:
            raise UsageError("--lambda-feature needs a student with residual blocks; leave it out")
        first.register_forward_pre_hook(self._look)
        width = next(m for m in first.modules() if isinstance(m, nn.Conv2d)).in_channels
        self.conv = nn.Conv2d(width, teacher.encoder_width, 1)

    def _look(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._seen = args[0]

    def loss(self, x: Tensor) -> Tensor:
        """x: N,3,H,W, to which the student has just answered."""
        mine, self._seen = self.conv(self._seen), torch.empty(0)
        with torch.no_grad():
            other = self._encoder[0](x)
        return feature_loss(mine, F.adaptive_avg_pool2d(other, mine.shape[2:]))
