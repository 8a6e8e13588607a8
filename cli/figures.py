"""What is said of a translation: beside the bar, in the table at its end, and in a file."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cgt.runtime.cache import cache_folder, cpu_name
from cgt.runtime.engines import cores
from cgt.runtime.errors import SinkError
from cgt.runtime.files import whole_file
from cgt.runtime.preprocess import simd_path
from cgt.runtime.progress import Bar
from cgt.runtime.sources import Source
from cgt.runtime.stats import STAGES, Stats
from cgt.runtime.translator import Translator

_PACKAGES = ("cyclegan-toolkit", "numpy", "av", "openvino", "onnxruntime", "tensorrt", "torch")


class Status:
    """The bar, and beside it what matters while it runs."""

    SECONDS = 0.5  # between looks

    def __init__(self, bar: Bar, stats: Stats, live: bool) -> None:
        self._bar, self._stats, self._live = bar, stats, live
        self._due = 0.0

    def advance(self) -> None:
        self._bar.advance()
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + self.SECONDS
        stats = self._stats
        note = f"network {stats.stages['inference'].percentile(50) * 1e3:.1f} ms"
        if self._live:
            latency = stats.stages["latency"].percentile(99) * 1e3
            note += f", latency p99 {latency:.0f} ms, {stats.dropped} dropped"
        self._bar.note(note)


@dataclass(frozen=True)
class Facts:
    """One translation and all that took part in it. start_up: seconds before the first frame."""

    sinks: tuple[str, ...]
    source: Source
    translator: Translator
    stats: Stats
    start_up: float

    def print_details(self, console: Console) -> None:
        """What was found out before the first frame, for --verbose."""
        source, translator = self.source, self.translator
        size = "varying sizes" if source.size is None else _by(source.size)
        rate = f" at {float(source.rate):.3f} frames/s" if source.rate else ""
        rows = [("source", f"{source.name}: {size}{rate}, pixel aspect {source.aspect}")]
        if geometry := translator.geometry:
            rows.append(
                (
                    "sizes",
                    f"picture {_by(geometry.picture)}, tensor {_by(geometry.tensor)}, "
                    f"written {_by(geometry.output)}",
                )
            )
        rows += [
            ("network", f"{translator.artifact.norm} norm, {translator.artifact.io} tensors"),
            ("workers", f"{translator.workers} at once, batches of {translator.batch}"),
            ("calm", translator.calming or "off"),
            ("pixels", f"C library, {simd_path()}"),
            ("cache", str(cache_folder() or "none: the cache folder cannot be written")),
        ]
        _print_rows(console, rows)

    def print_table(self, console: Console) -> None:
        """What was translated, how fast, by what, and where the time went."""
        _print_rows(console, [*self._rows()])
        times = Table("stage", "p50 ms", "p99 ms", "max ms", title="per frame")
        times.title_justify = "left"
        for column in times.columns[1:]:
            column.justify = "right"
        for stage in STAGES:
            histogram = self.stats.stages[stage]
            if not histogram.counts.any():
                continue
            seconds = (histogram.percentile(50), histogram.percentile(99), histogram.longest)
            style = "bold" if stage == "latency" else ""
            times.add_row(stage, *(f"{value * 1e3:.2f}" for value in seconds), style=style)
        console.print(times)

    def _rows(self) -> list[tuple[str, str]]:
        translator, stats, source = self.translator, self.stats, self.source
        artifact, engine, geometry = translator.artifact, translator.engine, translator.geometry
        size = f" at {_by(geometry.picture)}" if geometry else ""
        speed = f"{stats.fps:.1f} frames/s"
        if source.rate is not None and not source.live and source.size is not None:
            speed += f", {stats.fps / float(source.rate):.2f} times real time"
        left_out = f", {stats.dropped} dropped" if stats.dropped or source.live else ""
        left_out += f", {stats.thinned} left out" if stats.thinned else ""
        took = f"{stats.seconds:.1f} s (start-up {self.start_up:.1f} s)"
        return [
            ("model", f"{translator.path.name}, {artifact.source} to {artifact.target}{size}"),
            ("engine", f"{engine.name} on {engine.device}, {engine.precision}"),
            ("frames", f"{stats.frames}{left_out} in {took}"),
            ("speed", speed),
            ("output", ", ".join(self.sinks)),
        ]

    def write(self, path: Path) -> None:
        """Everything as JSON. Raises SinkError where it cannot be written."""
        try:
            with whole_file(path) as temporary:
                temporary.write_text(json.dumps(self.to_json(), indent=1) + "\n")
        except OSError as error:
            raise SinkError(f"cannot write {path}: {error.strerror}") from None

    def to_json(self) -> dict[str, Any]:
        translator, source = self.translator, self.source
        engine, geometry = translator.engine, translator.geometry
        return self.stats.to_json() | {
            "start_up_seconds": round(self.start_up, 3),
            "source": {"name": source.name, "size": source.size, "live": source.live},
            "sinks": self.sinks,
            "model": {
                "name": translator.path.name,
                "norm": translator.artifact.norm,
                "architecture": translator.artifact.architecture,
            },
            "sizes": {
                "picture": geometry.picture if geometry else None,
                "tensor": geometry.tensor if geometry else None,
                "output": geometry.output if geometry else None,
            },
            "engine": {
                "name": engine.name,
                "device": engine.device,
                "precision": engine.precision,
                "workers": translator.workers,
                "batch": translator.batch,
            },
            "calm": translator.calming,
            "memory": {"peak_mib": peak_memory() // 2**20},
            "machine": {
                "cpu": cpu_name(),
                "cores": cores(),
                "system": platform.system(),
                "pixels": simd_path(),
            },
            "versions": {"python": platform.python_version()} | _versions(),
        }


def peak_memory() -> int:
    """The most bytes this process ever held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _print_rows(console: Console, rows: list[tuple[str, str]]) -> None:
    facts = Table.grid(padding=(0, 2))
    for row in rows:
        facts.add_row(*row)
    console.print(facts)


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
