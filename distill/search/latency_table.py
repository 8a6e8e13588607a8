"""How fast each candidate is, as data: written to JSON, read back, sorted by capacity.

Candidates on the terminal: size, work, speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Shown

from cgt.benchmarks.harness.measurement_warnings import MAX_OTHER_LOAD
from cgt.benchmarks.harness.results import load_json, save_json
from cgt.trainer.networks.config import GeneratorConfig

from .candidates import Candidate, StudentVariant
from .pipeline_cost import PipelineOverhead, Size

TABLE_VERSION = 2
_FORMAT = "cgt_candidates"


@dataclass(frozen=True)
class CandidateTiming:
    """One candidate, measured. p50, p99: milliseconds of one frame after the other; fps: frames per
    second of the engine alone, as many in flight as it likes."""

    variant: tuple[str, str, str]  # norm, block, upsampling
    ngf: int
    blocks: int
    parameters: int
    macs: int
    p50_ms: float
    p99_ms: float
    fps: float
    other_load: float  # share of the cores that other programs used meanwhile
    engine: str  # the one that "auto" chose
    pruned_from: dict[str, Any] | None = None  # of a pruned candidate, as plain JSON types

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> CandidateTiming:
        """The inverse of `asdict`, and of JSON after it. Raises TypeError."""
        return cls(**{**values, "kind": tuple(values["kind"])})

    @property
    def candidate(self) -> Candidate:
        layout = GeneratorConfig.from_json(self.pruned_from) if self.pruned_from else None
        return Candidate(StudentVariant(*self.variant), self.ngf, self.blocks, layout)

    @property
    def capacity_key(self) -> tuple[bool, int, bool, float]:
        """By what is to be expected of it: pruned; parameters; with as many, resized and no
        checkerboard; then the quicker."""
        return (
            self.pruned_from is not None,
            self.parameters,
            self.variant[2] == "resize",
            -self.p50_ms,
        )


@dataclass(frozen=True)
class LatencyTable:
    """What was measured of one machine, size, precision and engine. cost: what the pipeline takes
    beside the engine; None where it was not measured."""

    machine: str
    versions: dict[str, str]
    size: Size
    precision: str
    engine: str
    timings: tuple[CandidateTiming, ...]
    overhead: PipelineOverhead | None = None

    def end_to_end_fps(self, speed: CandidateTiming) -> float:
        """Frames per second from source to sink, estimated."""
        return self.overhead.end_to_end_fps(speed.fps) if self.overhead else speed.fps

    def with_timings(self, more: Sequence[CandidateTiming]) -> LatencyTable:
        by_candidate = {speed.candidate: speed for speed in (*self.timings, *more)}
        return replace(
            self, timings=tuple(sorted(by_candidate.values(), key=lambda s: s.capacity_key))
        )

    def save(self, path: Path) -> None:
        """As JSON, whole or not at all. Raises OSError."""
        save_json(path, _FORMAT, TABLE_VERSION, asdict(self), indent=1)


def load_latency_table(path: Path) -> LatencyTable:
    """The inverse of `Table.save`. Raises UsageError for a file that is no such table."""
    return load_json(
        path, _FORMAT, TABLE_VERSION, "a table of `cgt bench --candidates --json`", _table_from_json
    )


def _table_from_json(values: dict[str, Any]) -> LatencyTable:
    values["size"] = tuple(values["size"])
    values["cost"] = PipelineOverhead(**values["cost"]) if values["cost"] else None
    speeds = [CandidateTiming.from_json(entry) for entry in values["speeds"]]
    return LatencyTable(**{**values, "speeds": tuple(speeds)})


COLUMNS = ("par. k", "MACs M", "p50 ms", "p99 ms", "alone", "whole")


def print_latency_table(
    table: LatencyTable, console: Console, chosen: CandidateTiming | None = None
) -> None:
    """Smallest first; the chosen one is starred."""
    height, width = table.size
    engines = ", ".join(sorted({speed.engine for speed in table.timings})) or table.engine
    console.print(table.machine, style="dim", highlight=False)
    console.print(
        f"students at {height}x{width} in {table.precision} on {engines}, random weights; "
        "frames/s of the engine alone, and estimated of the whole from source to sink",
        highlight=False,
    )
    rich_table = Shown("student", box=None, pad_edge=False)
    for name in COLUMNS:
        rich_table.add_column(name, justify="right")
    for speed in table.timings:
        kind = f"pruned {speed.variant[2]}" if speed.pruned_from else " ".join(speed.variant)
        name = f"{speed.ngf}x{speed.blocks} {kind}"
        figures = (
            f"{speed.parameters / 1e3:.0f}",
            f"{speed.macs / 1e6:.0f}",
            f"{speed.p50_ms:.2f}",
            f"{speed.p99_ms:.2f}",
            f"{speed.fps:.1f}",
            f"{table.end_to_end_fps(speed):.1f}" if table.overhead else "-",
        )
        star, style = ("* ", "bold") if speed is chosen else ("", "")
        rich_table.add_row(star + name, *figures, style=style)
    console.print(rich_table)
    if table.overhead:
        beside = f"{table.overhead.seconds_per_frame * 1e3:.1f} ms a frame beside the engine"
        console.print(f"the pipeline takes {beside} ({table.overhead.video})", highlight=False)
    if chosen:
        console.print("* is the largest that reaches the target", highlight=False)
    disturbed_count = sum(speed.other_load > MAX_OTHER_LOAD for speed in table.timings)
    if disturbed_count:
        console.print(
            f"warning: other programs disturbed {disturbed_count} of {len(table.timings)} measurements, "
            "which are not remembered; measure again when the machine is quiet",
            style="yellow",
            highlight=False,
        )
