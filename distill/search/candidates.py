"""The students that `cgt distill` chooses among.

A pruned one (pruning.py) is its teacher made narrow, and begins as it. The others begin anew: all
are `StudentGenerator`s with patches of 2x2 pixels and their blocks at a quarter of the
resolution, where a CycleGAN's are, so that within one kind more parameters mean more computation.
Which kind uses them best is not assumed: docs/students.md has what was measured.
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
"""ngf and blocks, from the smallest. A block is twice as wide as ngf."""


@dataclass(frozen=True)
class StudentVariant:
    """What distinguishes students of one size. Values as in GeneratorConfig."""

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
"""ngf of pruned students."""


@dataclass(frozen=True)
class Candidate:
    """A student without weights. layout: of a pruned one the ResNet that it is made from, with what
    does not matter for its speed as in `layout_of`."""

    variant: StudentVariant
    ngf: int
    blocks: int
    pruned_from: GeneratorConfig | None = None

    @classmethod
    def from_teacher(cls, teacher: GeneratorConfig, ngf: int, blocks: int) -> Candidate:
        pruned_from = canonical_config(teacher)
        return cls(
            StudentVariant(pruned_from.norm, pruned_from.block, pruned_from.upsampling),
            ngf,
            blocks,
            pruned_from,
        )

    def __str__(self) -> str:
        kind = f"pruned, {self.variant.upsampling}" if self.pruned_from else self.variant
        return f"{self.ngf} wide, {self.blocks} blocks, {kind}"

    @cached_property
    def config(self) -> GeneratorConfig:
        if self.pruned_from is not None:
            return shrink_config(self.pruned_from, self.ngf, self.blocks)
        kind = self.variant
        return GeneratorConfig(
            f"student{self.blocks}",
            self.ngf,
            norm=kind.norm,
            learn_residual=True,
            # An InstanceNorm forgets the tone of a picture, as its teacher's does; what it forgot
            # it cannot take back from an input that is added in the end.
            color_transform=kind.norm.startswith("instance"),
            upsampling=kind.upsampling,
            block=kind.block,
            bias=kind.norm.startswith("instance"),
            n_downsampling=1,
            shuffle_factor=2,
            stem_kernel=3,
            stem_padding="zero",
            padding="zero",
            up_padding="zero",
        )

    @cached_property
    def parameters(self) -> int:
        with torch.device("meta"):
            return sum(p.numel() for p in build_generator(self.config).parameters())

    def macs(self, size: tuple[int, int]) -> int:
        """Multiply-adds for a picture of height, width."""
        return count_macs(self.config, size)


def student_candidates(*variants: StudentVariant) -> list[list[Candidate]]:
    """For each kind, by default of KINDS, its candidates from the smallest to the largest."""
    return [
        [Candidate(kind, *rung) for rung in STUDENT_SIZES] for kind in variants or STUDENT_VARIANTS
    ]


def canonical_config(teacher: GeneratorConfig) -> GeneratorConfig:
    """The same for all ResNets whose pruned students of one size are one network."""
    return shrink_config(teacher, GeneratorConfig.ngf, 9)


def pruned_candidates(teacher: GeneratorConfig) -> list[Candidate]:
    """With all blocks of the teacher, from the narrowest to the widest; none where it cannot be
    pruned."""
    if unprunable_reason(teacher):
        return []
    widths = [ngf for ngf in PRUNED_WIDTHS if fits_inside(teacher, ngf, teacher.blocks)]
    return [Candidate.from_teacher(teacher, ngf, teacher.blocks) for ngf in widths]


def common_pruned_candidates() -> list[list[Candidate]]:
    """Of the teachers that there are most of: CycleGAN's ResNets."""
    teachers = (
        GeneratorConfig("resnet9"),
        GeneratorConfig("resnet6"),
        GeneratorConfig("resnet9", upsampling="resize"),
    )
    return [pruned_candidates(teacher) for teacher in teachers]
