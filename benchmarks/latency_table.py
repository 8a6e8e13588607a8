"""How fast each candidate is, as data: written to JSON, read back, sorted by capacity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cgt.trainer.config import GeneratorConfig
from cgt.trainer.distill.family import Candidate, Kind

from .jsonfile import load_json, save_json
from .pipeline_cost import Cost, Size

VERSION = 2
_KIND = "cgt_candidates"


@dataclass(frozen=True)
class Speed:
    """One candidate, measured. p50, p99: milliseconds of one frame after the other; fps: frames per
    second of the engine alone, as many in flight as it likes."""

    kind: tuple[str, str, str]  # norm, block, upsampling
    ngf: int
    blocks: int
    parameters: int
    macs: int
    p50: float
    p99: float
    fps: float
    others: float  # share of the cores that other programs used meanwhile
    engine: str  # the one that "auto" chose
    layout: dict[str, Any] | None = None  # of a pruned candidate, as plain JSON types

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Speed:
        """The inverse of `asdict`, and of JSON after it. Raises TypeError."""
        return cls(**{**values, "kind": tuple(values["kind"])})

    @property
    def candidate(self) -> Candidate:
        layout = GeneratorConfig.from_json(self.layout) if self.layout else None
        return Candidate(Kind(*self.kind), self.ngf, self.blocks, layout)

    @property
    def order(self) -> tuple[bool, int, bool, float]:
        """By what is to be expected of it: pruned; parameters; with as many, resized and no
        checkerboard; then the quicker."""
        return self.layout is not None, self.parameters, self.kind[2] == "resize", -self.p50


@dataclass(frozen=True)
class Table:
    """What was measured of one machine, size, precision and engine. cost: what the pipeline takes
    beside the engine; None where it was not measured."""

    machine: str
    versions: dict[str, str]
    size: Size
    precision: str
    engine: str
    speeds: tuple[Speed, ...]
    cost: Cost | None = None

    def end_to_end(self, speed: Speed) -> float:
        """Frames per second from source to sink, estimated."""
        return self.cost.end_to_end(speed.fps) if self.cost else speed.fps

    def with_speeds(self, more: Sequence[Speed]) -> Table:
        kept = {speed.candidate: speed for speed in (*self.speeds, *more)}
        return replace(self, speeds=tuple(sorted(kept.values(), key=lambda s: s.order)))

    def save(self, path: Path) -> None:
        """As JSON, whole or not at all. Raises OSError."""
        save_json(path, _KIND, VERSION, asdict(self), indent=1)


def load_table(path: Path) -> Table:
    """The inverse of `Table.save`. Raises UsageError for a file that is no such table."""
    return load_json(path, _KIND, VERSION, "a table of `cgt bench --candidates --json`", _table)


def _table(values: dict[str, Any]) -> Table:
    values["size"] = tuple(values["size"])
    values["cost"] = Cost(**values["cost"]) if values["cost"] else None
    speeds = [Speed.from_json(entry) for entry in values["speeds"]]
    return Table(**{**values, "speeds": tuple(speeds)})
