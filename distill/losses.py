"""Distillation losses: SSIM, total variation, temporal consistency, perceptual and feature losses.

Images are float32 N,3,H,W in [-1, 1]. Every loss is a float32 scalar.
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
from cgt.trainer.networks.training_layers import reflection_pad

from .teacher import Teacher

SSIM_WINDOW_PX, SSIM_SIGMA_PX = 11, 1.5  # Gaussian window of Wang et al. 2004


@functools.cache
def _gaussian_window(device: torch.device) -> Tensor:
    """Return the vertical window as 3,1,SSIM_WINDOW_PX,1 for a depth-wise convolution."""
    x = torch.arange(SSIM_WINDOW_PX, device=device) - SSIM_WINDOW_PX // 2
    kernel = torch.exp(-(x**2) / (2 * SSIM_SIGMA_PX**2))
    return (kernel / kernel.sum()).view(1, 1, SSIM_WINDOW_PX, 1).repeat(3, 1, 1, 1)


def _blur(x: Tensor) -> Tensor:
    kernel = _gaussian_window(x.device).to(x.dtype)
    return F.conv2d(F.conv2d(x, kernel, groups=3), kernel.transpose(2, 3), groups=3)


def ssim_loss(a: Tensor, b: Tensor) -> Tensor:
    """Return 1 - SSIM, in [0, 2] (Wang et al. 2004), equal to that of runtime/image/metrics.py."""
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    a, b = a + 1, b + 1  # SSIM compares means by their ratio, so black must be 0
    with torch.autocast(
        a.device.type, enabled=False
    ):  # variances are small differences of large numbers
        ma, mb = _blur(a), _blur(b)
        va, vb, cov = _blur(a * a) - ma * ma, _blur(b * b) - mb * mb, _blur(a * b) - ma * mb
    similarity = ((2 * ma * mb + c1) * (2 * cov + c2)) / ((ma * ma + mb * mb + c1) * (va + vb + c2))
    return 1 - similarity.mean()


def tv_loss(x: Tensor) -> Tensor:
    """Return the total variation: the mean difference of neighboring pixels (Rudin et al. 1992)."""
    return (x[..., 1:, :] - x[..., :-1, :]).abs().mean() + (x[..., 1:] - x[..., :-1]).abs().mean()


def feature_loss(a: Tensor, b: Tensor) -> Tensor:
    """Return 1 - cosine similarity of two N,C,h,w feature maps; their scales do not matter."""
    return (1 - F.cosine_similarity(a.float(), b.float(), dim=1)).mean()


@dataclass(frozen=True)
class RandomMotion:
    """A minimal model of the motion between two frames: a shift and new camera noise.

    Attributes:
        down: vertical shift in pixels.
        right: horizontal shift in pixels.
        noise_std: standard deviation of the noise, for values in [-1, 1].
    """

    down: int
    right: int
    noise_std: float

    MAX_SHIFT_PX = 7  # more than a student's coarsest pixel, and not a multiple of it
    MAX_NOISE_STD = 0.02

    @classmethod
    def sample(cls) -> RandomMotion:
        """Draw a motion from PyTorch's default generator."""
        down, right = torch.randint(-cls.MAX_SHIFT_PX, cls.MAX_SHIFT_PX + 1, (2,)).tolist()
        return cls(down, right, cls.MAX_NOISE_STD * float(torch.rand(())))

    def next_frame(self, x: Tensor) -> Tensor:
        """Return the next input frame; newly visible borders are reflections."""
        moved = self.shift(x)
        return moved + self.noise_std * torch.randn_like(moved)

    def shift(self, x: Tensor) -> Tensor:
        """Return the shifted image without noise."""
        p = self.MAX_SHIFT_PX
        top, left = p + self.down, p + self.right
        padded = reflection_pad(x, (p, p, p, p))
        return padded[..., top : top + x.shape[2], left : left + x.shape[3]]

    def crop_visible(self, x: Tensor) -> Tensor:
        """Return the region that is visible in both frames."""
        h, w = x.shape[2:]
        return x[
            ...,
            max(0, -self.down) : h - max(0, self.down),
            max(0, -self.right) : w - max(0, self.right),
        ]


def temporal_loss(before: Tensor, after: Tensor, motion: RandomMotion) -> Tensor:
    """Return the mean difference of two outputs where both frames show the same content.

    This is the transform invariance loss of Eilertsen et al. 2019, "Single-frame Regularization
    for Temporally Stable CNNs".

    Args:
        before: the student's output for an image.
        after: the student's output for `motion.next_frame` of that image.
        motion: the motion between the two inputs.
    """
    return (motion.crop_visible(after) - motion.crop_visible(motion.shift(before))).abs().mean()


def perceptual_loss(a: Tensor, b: Tensor) -> Tensor:
    """Return the distance of EfficientNet-Lite0 features on three scales (Johnson et al. 2016).

    Args:
        a: output; H and W must be multiples of 16.
        b: reference, without gradient.

    Raises:
        MissingDependency: the extra [projected] is not installed.
    """
    pairs = zip(extract_features(a), extract_features(b.detach()), strict=True)
    return torch.stack([feature_loss(x, y) for x, y in pairs]).mean()


class FeatureAdapter(nn.Module):
    """A 1x1 convolution from the student's features to the teacher's.

    After Romero et al. 2015, "FitNets". Features are the inputs of the first residual block of
    each network.
    """

    def __init__(self, teacher: Teacher, student: nn.Module) -> None:
        """Raise UsageError for networks without residual blocks."""
        super().__init__()
        self._teacher_encoder = (teacher.encoder,)  # a tuple hides it from the state dict
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

    def forward(self, x: Tensor) -> Tensor:
        """Return the feature loss; `x` must be the student's most recent input."""
        student, self._student_features = self.conv(self._student_features), torch.empty(0)
        with torch.no_grad():
            teacher = self._teacher_encoder[0](x)
        return feature_loss(student, F.adaptive_avg_pool2d(teacher, student.shape[2:]))
