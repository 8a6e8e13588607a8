"""How far a student is from its teacher. Pictures are N,3,H,W float32 in [-1, 1]; every loss is a
float32 scalar.

What a student sees on its way, against what its teacher does (Romero et al. 2015, "FitNets").
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgt.runtime.errors import UsageError
from cgt.trainer.networks import ResnetBlock
from cgt.trainer.networks.projected import extract_features
from cgt.trainer.networks.student import StudentBlock

from .teacher import Teacher

SSIM_WINDOW_PX, SSIM_SIGMA_PX = 11, 1.5  # of SSIM's Gaussian


@functools.cache
def _gaussian_window(device: torch.device) -> Tensor:
    """3,1,WINDOW,1: the same for all channels."""
    x = torch.arange(SSIM_WINDOW_PX, device=device) - SSIM_WINDOW_PX // 2
    kernel = torch.exp(-(x**2) / (2 * SSIM_SIGMA_PX**2))
    return (kernel / kernel.sum()).view(1, 1, SSIM_WINDOW_PX, 1).repeat(3, 1, 1, 1)


def _blur(x: Tensor) -> Tensor:
    kernel = _gaussian_window(x.device).to(x.dtype)
    return F.conv2d(F.conv2d(x, kernel, groups=3), kernel.transpose(2, 3), groups=3)


def ssim_loss(a: Tensor, b: Tensor) -> Tensor:
    """1 - SSIM, in [0, 2], as evaluation/likeness.py has it (Wang et al. 2004)."""
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    a, b = a + 1, b + 1  # means are compared by their ratio: black is 0
    with torch.autocast(a.device.type, enabled=False):  # variances are small differences
        ma, mb = _blur(a), _blur(b)
        va, vb, cov = _blur(a * a) - ma * ma, _blur(b * b) - mb * mb, _blur(a * b) - ma * mb
    alike = ((2 * ma * mb + c1) * (2 * cov + c2)) / ((ma * ma + mb * mb + c1) * (va + vb + c2))
    return 1 - alike.mean()


def tv_loss(x: Tensor) -> Tensor:
    """Total variation: the mean difference of neighbours (Rudin et al. 1992)."""
    return (x[..., 1:, :] - x[..., :-1, :]).abs().mean() + (x[..., 1:] - x[..., :-1]).abs().mean()


def feature_loss(a: Tensor, b: Tensor) -> Tensor:
    """1 - cosine of what two networks see at each place, N,C,h,w each: scales do not matter."""
    return (1 - F.cosine_similarity(a.float(), b.float(), dim=1)).mean()


@dataclass(frozen=True)
class RandomMotion:
    """What happens to a picture from one frame to the next, at its simplest: the camera turns by
    `down`, `right` pixels, and its noise is another."""

    down: int
    right: int
    noise_std: float  # deviation, of values in [-1, 1]

    MAX_SHIFT_PX = 7  # pixels; further than a student's coarsest square, and not a multiple of it
    MAX_NOISE_STD = 0.02

    @classmethod
    def sample(cls) -> RandomMotion:
        """From torch's generator."""
        down, right = torch.randint(-cls.MAX_SHIFT_PX, cls.MAX_SHIFT_PX + 1, (2,)).tolist()
        return cls(down, right, cls.MAX_NOISE_STD * float(torch.rand(())))

    def next_frame(self, x: Tensor) -> Tensor:
        """The next input; what comes into sight is a reflection."""
        moved = self.shift(x)
        return moved + self.noise_std * torch.randn_like(moved)

    def shift(self, x: Tensor) -> Tensor:
        """Moved, nothing else."""
        p = self.MAX_SHIFT_PX
        top, left = p + self.down, p + self.right
        padded = F.pad(x, (p, p, p, p), mode="reflect")
        return padded[..., top : top + x.shape[2], left : left + x.shape[3]]

    def crop_visible(self, x: Tensor) -> Tensor:
        """The part of a picture that was in sight before, too."""
        h, w = x.shape[2:]
        return x[
            ...,
            max(0, -self.down) : h - max(0, self.down),
            max(0, -self.right) : w - max(0, self.right),
        ]


def temporal_loss(before: Tensor, after: Tensor, motion: RandomMotion) -> Tensor:
    """before, after: a student's answers to a picture and to `move.frame` of it; what was in sight
    in both must be answered alike (Eilertsen et al. 2019, "Single-frame Regularization for
    Temporally Stable CNNs", transform invariance)."""
    return (motion.crop_visible(after) - motion.crop_visible(motion.shift(before))).abs().mean()


def perceptual_loss(a: Tensor, b: Tensor) -> Tensor:
    """How unlike two pictures are to EfficientNet-Lite0, on three scales (Johnson et al. 2016).
    H and W multiples of 16. Raises MissingDependency."""
    pairs = zip(extract_features(a), extract_features(b.detach()), strict=True)
    return torch.stack([feature_loss(x, y) for x, y in pairs]).mean()


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
