"""What a state dict turned out to be."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..config import GeneratorConfig
from .layers import Layer


class Disagreement(Exception):
    """A state dict is not of the family that it was tried as; the text says at which layer."""


@dataclass
class Notes:
    """What is being found out while a state dict is read."""

    evidence: list[str] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Recognised:
    """A generator's description and its layers in the order of `networks.build_generator`'s."""

    config: GeneratorConfig
    layers: tuple[Layer, ...]
    dropped: tuple[str, ...]  # keys that have no part in the result, such as old statistics
    evidence: tuple[str, ...]
    ambiguous: tuple[str, ...]  # what the file leaves open, and which reading was taken
