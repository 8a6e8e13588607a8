"""The discriminator that a teacher learned with, where its checkpoint still has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from cgt.runtime.artifact import Direction
from cgt.runtime.errors import CheckpointError

from ..checkpoint import load_checkpoint


@dataclass(frozen=True)
class TeacherDiscriminator:
    """settings: fields of TrainConfig that describe it."""

    settings: dict[str, Any]
    weights: dict[str, Tensor]


def load_teacher_discriminator(path: Path, direction: Direction) -> TeacherDiscriminator | None:
    """What judges the answers of one generator of a CycleGAN of `cgt train`. None for other
    trainers' files, for pairs, and for one that sees through another network."""
    try:
        checkpoint = load_checkpoint(path)
    except CheckpointError:
        return None
    config, name = checkpoint.config, "D_A" if direction == "AtoB" else "D_B"
    networks = checkpoint.state["networks"]
    if config.method != "cyclegan" or config.discriminator == "projected" or name not in networks:
        return None
    fields = ("discriminator", "ndf", "d_layers", "norm")
    return TeacherDiscriminator({field: getattr(config, field) for field in fields}, networks[name])
