"""Result of parsing a state dict: a generator's configuration, layers and evidence."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..networks.config import GeneratorConfig
from .certainty.assumptions import Assumption, list_assumptions
from .layer_graph import ParsedLayer


class NotThisArchitecture(Exception):
    """A state dict is not of the family it was parsed as; the message names the layer."""


@dataclass
class ImportNotes:
    """Evidence and ambiguities collected during parsing, and names of settled properties."""

    evidence: list[str] = field(default_factory=list)
    ambiguities: list[str] = field(default_factory=list)
    settled: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class ParsedGenerator:
    """A generator that was recognized in a state dict.

    Attributes:
        config: its configuration.
        layers: its layers, in the order of those of `networks.build_generator`.
        dropped_keys: keys without a counterpart in cgt, such as unused running statistics.
        evidence: facts that the configuration was inferred from.
        ambiguities: what the file leaves open without an effect on the output.
        settled: names of the properties that the file or the user settles, see
            `certainty.assumptions`.
        family: the project that wrote it; empty if that is unknown.
    """

    config: GeneratorConfig
    layers: tuple[ParsedLayer, ...]
    dropped_keys: tuple[str, ...]
    evidence: tuple[str, ...]
    ambiguities: tuple[str, ...]
    settled: frozenset[str] = frozenset()
    family: str = ""

    @property
    def assumptions(self) -> tuple[Assumption, ...]:
        """What the reading assumes."""
        return () if self.family else list_assumptions(self.config, self.settled)
