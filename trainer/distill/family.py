"""The students that `cgt distill` chooses among.

All are `StudentGenerator`s with patches of 2x2 pixels and their blocks at a quarter of the
resolution, where a CycleGAN's are, so that within one kind more parameters mean more computation.
Which kind uses them best is not assumed: docs/students.md has what was measured.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import torch

from ..config import GeneratorConfig
from ..macs import count_macs
from ..networks import build_generator

RUNGS = (
    *((8, 2), (12, 2), (16, 3), (24, 3), (24, 6), (32, 4), (32, 6), (40, 6), (40, 9)),
    *((48, 9), (64, 9)),
)
"""ngf and blocks, from the smallest. A block is twice as wide as ngf."""


@dataclass(frozen=True)
class Kind:
    """What distinguishes students of one size. Values as in GeneratorConfig."""

    norm: str = "steered"
    block: str = "plain"
    upsampling: str = "transposed"

    def __str__(self) -> str:
        return ", ".join(getattr(self, field.name) for field in fields(self))


KINDS = (
    Kind(),
    Kind(upsampling="resize"),
    Kind(block="mobile"),
    Kind(block="mobile", upsampling="resize"),
    Kind(norm="instance_affine", upsampling="resize"),
)


@dataclass(frozen=True)
class Candidate:
    """A student without weights."""

    kind: Kind
    ngf: int
    blocks: int

    def __str__(self) -> str:
        return f"{self.ngf} wide, {self.blocks} blocks, {self.kind}"

    @cached_property
    def config(self) -> GeneratorConfig:
        kind = self.kind
        return GeneratorConfig(
            f"student{self.blocks}",
            self.ngf,
            norm=kind.norm,
            learn_residual=True,
            # An InstanceNorm forgets the tone of a picture, as its teacher's does; what it forgot
            # it cannot take back from an input that is added in the end.
            tone=kind.norm.startswith("instance"),
            upsampling=kind.upsampling,
            block=kind.block,
            bias=kind.norm.startswith("instance"),
            halvings=1,
            patch=2,
            ends_kernel=3,
            ends_padding="zero",
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


def family(*kinds: Kind) -> list[list[Candidate]]:
    """For each kind, by default of KINDS, its candidates from the smallest to the largest."""
    return [[Candidate(kind, *rung) for rung in RUNGS] for kind in kinds or KINDS]
