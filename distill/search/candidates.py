"""Candidate students of `cgt distill`: variants and sizes of networks, without weights.

A pruned candidate (pruning/) is a narrow copy of its teacher and is initialized from it. The others
are trained from scratch. All of those are `StudentGenerator`s with a pixel-unshuffle factor of 2
and with blocks at a quarter of the resolution, like those of a CycleGAN. So within one variant,
more parameters mean more computation. docs/students.md has the measured quality of each variant.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import torch

from cgt.trainer.networks import build_generator
from cgt.trainer.networks.config import GeneratorConfig
from cgt.trainer.networks.macs import count_macs

from ..pruning.prune import fits_inside, shrink_config, unprunable_reason

STUDENT_SIZES = (
    *((8, 2), (12, 2), (16, 3), (24, 3), (24, 6), (32, 4), (32, 6), (40, 6), (40, 9)),
    *((48, 9), (64, 9)),
)
"""ngf and number of blocks, smallest first. A block is twice as wide as ngf."""


@dataclass(frozen=True)
class StudentVariant:
    """Norm, block and upsampling of a student, with the values of GeneratorConfig."""

    norm: str = "batch_film"
    block: str = "plain"
    upsampling: str = "transposed"

    def __str__(self) -> str:
        return ", ".join(getattr(self, field.name) for field in fields(self))


STUDENT_VARIANTS = (
    StudentVariant(),
    StudentVariant(upsampling="resize"),
    StudentVariant(block="separable"),
    StudentVariant(block="separable", upsampling="resize"),
    StudentVariant(norm="instance_affine", upsampling="resize"),
)

PRUNED_WIDTHS = (8, 12, 16, 20, 24, 28, 32, 40, 48)
"""ngf of pruned students, narrowest first."""


@dataclass(frozen=True)
class Candidate:
    """A student architecture.

    Attributes:
        variant: norm, block and upsampling.
        ngf: width of the first layer, in channels.
        blocks: number of residual blocks.
        pruned_from: for a pruned candidate, the teacher's `canonical_config`.
    """

    variant: StudentVariant
    ngf: int
    blocks: int
    pruned_from: GeneratorConfig | None = None

    @classmethod
    def from_teacher(cls, teacher: GeneratorConfig, ngf: int, blocks: int) -> Candidate:
        """Return the candidate of this size that is pruned from a ResNet."""
        pruned_from = canonical_config(teacher)
        return cls(
            StudentVariant(pruned_from.norm, pruned_from.block, pruned_from.upsampling),
            ngf,
            blocks,
            pruned_from,
        )

    def __str__(self) -> str:
        variant = f"pruned, {self.variant.upsampling}" if self.pruned_from else self.variant
        return f"{self.ngf} wide, {self.blocks} blocks, {variant}"

    @cached_property
    def config(self) -> GeneratorConfig:
        """The generator that `networks.build_generator` builds."""
        if self.pruned_from is not None:
            return shrink_config(self.pruned_from, self.ngf, self.blocks)
        variant = self.variant
        return GeneratorConfig(
            f"student{self.blocks}",
            self.ngf,
            norm=variant.norm,
            learn_residual=True,
            # An InstanceNorm removes the overall color of an image, in the teacher as well. Adding
            # the input at the end does not restore it.
            color_transform=variant.norm.startswith("instance"),
            upsampling=variant.upsampling,
            block=variant.block,
            bias=variant.norm.startswith("instance"),
            n_downsampling=1,
            shuffle_factor=2,
            stem_kernel=3,
            stem_padding="zero",
            padding="zero",
            up_padding="zero",
        )

    @cached_property
    def parameters(self) -> int:
        """Number of parameters."""
        with torch.device("meta"):
            return sum(p.numel() for p in build_generator(self.config).parameters())

    def macs(self, size: tuple[int, int]) -> int:
        """Return the number of multiply-adds for an image of (height, width)."""
        return count_macs(self.config, size)


def student_candidates(*variants: StudentVariant) -> list[list[Candidate]]:
    """Return the candidates of each variant, smallest first; by default of STUDENT_VARIANTS."""
    return [
        [Candidate(variant, *size) for size in STUDENT_SIZES]
        for variant in variants or STUDENT_VARIANTS
    ]


def canonical_config(teacher: GeneratorConfig) -> GeneratorConfig:
    """Return a configuration that is equal for ResNets with equal pruned students."""
    return shrink_config(teacher, GeneratorConfig.ngf, 9)


def pruned_candidates(teacher: GeneratorConfig) -> list[Candidate]:
    """Return candidates with all blocks of the teacher, narrowest first.

    The list is empty if the teacher cannot be pruned.
    """
    if unprunable_reason(teacher):
        return []
    widths = [ngf for ngf in PRUNED_WIDTHS if fits_inside(teacher, ngf, teacher.blocks)]
    return [Candidate.from_teacher(teacher, ngf, teacher.blocks) for ngf in widths]


def common_pruned_candidates() -> list[list[Candidate]]:
    """Return the pruned candidates of common teachers: CycleGAN's ResNets."""
    teachers = (
        GeneratorConfig("resnet9"),
        GeneratorConfig("resnet6"),
        GeneratorConfig("resnet9", upsampling="resize"),
    )
    return [pruned_candidates(teacher) for teacher in teachers]
