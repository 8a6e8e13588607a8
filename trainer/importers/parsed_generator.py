"""What a state dict turned out to be."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..networks.config import GeneratorConfig
from .layer_graph import ParsedLayer


class NotThisArchitecture(Exception):
    """A state dict is not of the family that it was tried as; the text says at which layer."""


@dataclass
class ImportNotes:
    """What is being found out while a state dict is read."""

    evidence: list[str] = field(default_factory=list)
    ambiguities: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ParsedGenerator:
    """A generator's description and its layers in the order of `networks.build_generator`'s."""

    config: GeneratorConfig
    layers: tuple[ParsedLayer, ...]
    dropped_keys: tuple[str, ...]  # keys that have no part in the result, such as old statistics
    evidence: tuple[str, ...]
    ambiguities: tuple[str, ...]  # what the file leaves open, and which reading was taken
