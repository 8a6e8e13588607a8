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


class FeatureAdapter(nn.Module):
    """A 1x1 convolution from what the student's first block is given to what the teacher's is."""

    def __init__(self, teacher: Teacher, student: nn.Module) -> None:
        """Raises UsageError for networks that have no blocks."""
        super().__init__()
        self._teacher_encoder = (teacher.encoder,)  # which is no part of it
        self._student_features = torch.empty(0)
        blocks = (m for m in student.modules() if isinstance(m, ResnetBlock | StudentBlock))
        first = next(blocks, None)
        if first is None:
            raise UsageError("--lambda-feature needs a student with residual blocks; leave it out")
        first.register_forward_pre_hook(self._record_features)
        width = next(m for m in first.modules() if isinstance(m, nn.Conv2d)).in_channels
        self.conv = nn.Conv2d(width, teacher.encoder_width, 1)

    def _record_features(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._student_features = args[0]

    def loss(self, x: Tensor) -> Tensor:
        """x: N,3,H,W, to which the student has just answered."""
        ours, self._student_features = self.conv(self._student_features), torch.empty(0)
        with torch.no_grad():
            theirs = self._teacher_encoder[0](x)
        return feature_loss(ours, F.adaptive_avg_pool2d(theirs, ours.shape[2:]))
