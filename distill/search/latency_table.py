"""Latency table of candidates: measured speeds, stored as JSON and printed, smallest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cgt.benchmarks.harness.measurement_warnings import MAX_OTHER_LOAD
from cgt.benchmarks.harness.results import load_json, save_json
from cgt.runtime.image.geometry import format_size
from cgt.trainer.networks.config import GeneratorConfig

from .candidates import Candidate, StudentVariant
from .pipeline_cost import PipelineOverhead, Size

TABLE_VERSION = 2
_FORMAT = "cgt_candidates"

# Fields and values as spelled in tables and caches from before 0.1.0 -> as spelled now.
_OLD_TABLE_FIELDS = {"speeds": "timings", "cost": "overhead"}
_OLD_TIMING_FIELDS = {
    **{"kind": "variant", "p50": "p50_ms", "p99": "p99_ms"},
    **{"others": "other_load", "layout": "pruned_from"},
}
_OLD_VARIANT_VALUES = {"steered": "batch_film", "mobile": "separable"}


@dataclass(frozen=True)
class CandidateTiming:
    """Measured speed of one candidate.

    Attributes:
        variant: norm, block and upsampling.
        ngf: width of the first layer, in channels.
        blocks: number of residual blocks.
        parameters: number of parameters.
        macs: multiply-adds per frame.
        p50_ms: median latency in milliseconds, one frame at a time.
        p99_ms: 99th percentile of the latency.
        fps: frames/s of the engine alone, with its preferred number of frames in flight.
        other_load: share of the cores that other programs used during the measurement.
        engine: the engine, the selected one for "auto".
        pruned_from: JSON of `Candidate.pruned_from` for a pruned candidate.
    """

    variant: tuple[str, str, str]
    ngf: int
    blocks: int
    parameters: int
    macs: int
    p50_ms: float
    p99_ms: float
    fps: float
    other_load: float
    engine: str
    pruned_from: dict[str, Any] | None = None

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> CandidateTiming:
        """Read a `dataclasses.asdict`, including that from before version 0.1.0.

        Raises:
            KeyError: the variant is missing.
            TypeError: a field is missing or unknown.
        """
        values = {_OLD_TIMING_FIELDS.get(name, name): value for name, value in values.items()}
        variant = tuple(_OLD_VARIANT_VALUES.get(value, value) for value in values["variant"])
        return cls(**{**values, "variant": variant})

    @property
    def candidate(self) -> Candidate:
        """The candidate that was measured."""
        teacher = GeneratorConfig.from_json(self.pruned_from) if self.pruned_from else None
        return Candidate(StudentVariant(*self.variant), self.ngf, self.blocks, teacher)

    @property
    def capacity_key(self) -> tuple[bool, int, bool, float]:
        """Sort key by expected quality.

        Pruned candidates rank above the others, then those with more parameters, then those with
        resize upsampling, which has no checkerboard artifacts, then the faster ones.
        """
        return (
            self.pruned_from is not None,
            self.parameters,
            self.variant[2] == "resize",
            -self.p50_ms,
        )


@dataclass(frozen=True)
class LatencyTable:
    """Timings of candidates on one machine, at one size, precision and engine.

    Attributes:
        machine: one line about the hardware.
        versions: installed packages and their versions.
        size: height and width of the network's input.
        precision: precision of the exported models.
        engine: the requested engine.
        timings: one per candidate, sorted by `capacity_key`.
        overhead: time of the pipeline beyond the engine; None if not measured.
    """

    machine: str
    versions: dict[str, str]
    size: Size
    precision: str
    engine: str
    timings: tuple[CandidateTiming, ...]
    overhead: PipelineOverhead | None = None

    def end_to_end_fps(self, timing: CandidateTiming) -> float:
        """Return the estimated end-to-end frames/s of a candidate."""
        return self.overhead.end_to_end_fps(timing.fps) if self.overhead else timing.fps

    def with_timings(self, more: Sequence[CandidateTiming]) -> LatencyTable:
        """Return the table with additional or newer timings."""
        by_candidate = {timing.candidate: timing for timing in (*self.timings, *more)}
        return replace(
            self, timings=tuple(sorted(by_candidate.values(), key=lambda t: t.capacity_key))
        )

    def save(self, path: Path) -> None:
        """Write the table as JSON, atomically.

        Raises:
            OSError: the file cannot be written.
        """
        save_json(path, _FORMAT, TABLE_VERSION, asdict(self), indent=1)


def load_latency_table(path: Path) -> LatencyTable:
    """Read what `LatencyTable.save` wrote.

    Raises:
        UsageError: the file is not a latency table.
    """
    return load_json(
        path, _FORMAT, TABLE_VERSION, "a table of `cgt bench students --json`", _table_from_json
    )


def _table_from_json(values: dict[str, Any]) -> LatencyTable:
    values = {_OLD_TABLE_FIELDS.get(name, name): value for name, value in values.items()}
    overhead = values["overhead"]
    values["overhead"] = PipelineOverhead.from_json(overhead) if overhead else None
    values["size"] = tuple(values["size"])
    values["timings"] = tuple(CandidateTiming.from_json(entry) for entry in values["timings"])
    return LatencyTable(**values)


COLUMNS = ("par. k", "MACs M", "p50 ms", "p99 ms", "engine", "total")


def print_latency_table(
    table: LatencyTable, console: Console, chosen: CandidateTiming | None = None
) -> None:
    """Print a table, smallest candidate first, with a star at the chosen one."""
    engines = ", ".join(sorted({timing.engine for timing in table.timings})) or table.engine
    console.print(table.machine, style="dim")
    console.print(
        f"students at {format_size(table.size)} in {table.precision} on {engines}, random weights; "
        "frames/s of the engine alone, and estimated end to end (total)",
    )
    rich_table = Table("student", box=None, pad_edge=False)
    for name in COLUMNS:
        rich_table.add_column(name, justify="right")
    for timing in table.timings:
        variant = f"pruned {timing.variant[2]}" if timing.pruned_from else " ".join(timing.variant)
        name = f"{timing.ngf}x{timing.blocks} {variant}"
        cells = (
            f"{timing.parameters / 1e3:.0f}",
            f"{timing.macs / 1e6:.0f}",
            f"{timing.p50_ms:.2f}",
            f"{timing.p99_ms:.2f}",
            f"{timing.fps:.1f}",
            f"{table.end_to_end_fps(timing):.1f}" if table.overhead else "-",
        )
        star, style = ("* ", "bold") if timing is chosen else ("", "")
        rich_table.add_row(star + name, *cells, style=style)
    console.print(rich_table)
    if table.overhead:
        overhead_ms = table.overhead.seconds_per_frame * 1e3
        console.print(
            f"the pipeline adds {overhead_ms:.1f} ms per frame to the engine's time "
            f"({table.overhead.video})",
        )
    if chosen:
        console.print("* is the largest student that reaches the target")
    disturbed_count = sum(timing.other_load > MAX_OTHER_LOAD for timing in table.timings)
    if disturbed_count:
        console.print(
            f"warning: other programs disturbed {disturbed_count} of {len(table.timings)} "
            "measurements, which were not cached; measure again when the machine is idle",
            style="yellow",
        )
