"""Result of parsing a state dict: a generator's configuration, layers and evidence."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..networks.config import GeneratorConfig
from .layer_graph import ParsedLayer


class NotThisArchitecture(Exception):
    """A state dict is not of the family it was parsed as; the message names the layer."""


@dataclass
class ImportNotes:
    """Evidence and ambiguities collected during parsing."""

    evidence: list[str] = field(default_factory=list)
    ambiguities: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ParsedGenerator:
    """A generator that was recognized in a state dict.

    Attributes:
        config: its configuration.
        layers: its layers, in the order of those of `networks.build_generator`.
        dropped_keys: keys without a counterpart in cgt, such as unused running statistics.
        evidence: facts that the configuration was inferred from.
        ambiguities: what the file leaves open, and which reading was assumed.
    """

    config: GeneratorConfig
    layers: tuple[ParsedLayer, ...]
    dropped_keys: tuple[str, ...]
    evidence: tuple[str, ...]
    ambiguities: tuple[str, ...]
