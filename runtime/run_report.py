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

from .engines import available_cpus
from .errors import SinkError
from .image.preprocess import simd_instruction_set
from .inference.translator import Translator
from .sources import Source
from .utils.atomic import atomic_write
from .utils.cache import cache_dir, cpu_name
from .utils.progress import ProgressBar
from .utils.stats import STAGES, Stats

_REPORTED_PACKAGES = (
    "cyclegan-toolkit",
    "numpy",
    "av",
    "openvino",
    "onnxruntime",
    "tensorrt",
    "torch",
)


class LiveStatus:
    """The bar, and beside it what matters while it runs."""

    UPDATE_INTERVAL_S = 0.5  # between looks

    def __init__(self, bar: ProgressBar, stats: Stats, live: bool) -> None:
        self._bar, self._stats, self._live = bar, stats, live
        self._next_update = 0.0

    def advance(self) -> None:
        self._bar.advance()
        now = time.monotonic()
        if now < self._next_update:
            return
        self._next_update = now + self.UPDATE_INTERVAL_S
        stats = self._stats
        note = f"network {stats.stages['inference'].percentile(50) * 1e3:.1f} ms"
        if self._live:
            latency = stats.stages["latency"].percentile(99) * 1e3
            note += f", latency p99 {latency:.0f} ms, {stats.dropped} dropped"
        self._bar.set_postfix(note)


@dataclass(frozen=True)
class RunReport:
    """One translation and all that took part in it. start_up: seconds before the first frame."""

    sinks: tuple[str, ...]
    source: Source
    translator: Translator
    stats: Stats
    startup_s: float

    def print_details(self, console: Console) -> None:
        """What was found out before the first frame, for --verbose."""
        source, translator = self.source, self.translator
        size = "varying sizes" if source.size is None else _format_size(source.size)
        rate = f" at {float(source.rate):.3f} frames/s" if source.rate else ""
        rows = [
            ("source", f"{source.name}: {size}{rate}, pixel aspect {source.sample_aspect_ratio}")
        ]
        if geometry := translator.geometry:
            rows.append(
                (
                    "sizes",
                    f"picture {_format_size(geometry.image_size)}, tensor {_format_size(geometry.tensor_size)}, "
                    f"written {_format_size(geometry.output_size)}",
                )
            )
        rows += [
            ("network", f"{translator.metadata.norm} norm, {translator.metadata.io} tensors"),
            ("workers", f"{translator.workers} at once, batches of {translator.batch}"),
            ("deflicker", translator.deflicker_mode or "off"),
            ("pixels", f"C library, {simd_instruction_set()}"),
            ("cache", str(cache_dir() or "none: the cache folder cannot be written")),
        ]
        _print_rows(console, rows)

    def print_summary(self, console: Console) -> None:
        """What was translated, how fast, by what, and where the time went."""
        _print_rows(console, [*self._summary_rows()])
        timings = Table("stage", "p50 ms", "p99 ms", "max ms", title="per frame")
        timings.title_justify = "left"
        for column in timings.columns[1:]:
            column.justify = "right"
        for stage in STAGES:
            histogram = self.stats.stages[stage]
            if not histogram.counts.any():
                continue
            seconds = (histogram.percentile(50), histogram.percentile(99), histogram.max_seconds)
            style = "bold" if stage == "latency" else ""
            timings.add_row(stage, *(f"{value * 1e3:.2f}" for value in seconds), style=style)
        console.print(timings)

    def _summary_rows(self) -> list[tuple[str, str]]:
        translator, stats, source = self.translator, self.stats, self.source
        artifact, engine, geometry = translator.metadata, translator.engine, translator.geometry
        size = f" at {_format_size(geometry.image_size)}" if geometry else ""
        speed = f"{stats.fps:.1f} frames/s"
        if source.rate is not None and not source.live and source.size is not None:
            speed += f", {stats.fps / float(source.rate):.2f} times real time"
        skipped = f", {stats.dropped} dropped" if stats.dropped or source.live else ""
        skipped += f", {stats.skipped} left out" if stats.skipped else ""
        duration = f"{stats.seconds:.1f} s (start-up {self.startup_s:.1f} s)"
        return [
            (
                "model",
                f"{translator.path.name}, {artifact.source_domain} to {artifact.target_domain}{size}",
            ),
            ("engine", f"{engine.name} on {engine.device}, {engine.precision}"),
            ("frames", f"{stats.frames}{skipped} in {duration}"),
            ("speed", speed),
            ("output", ", ".join(self.sinks)),
        ]

    def write_json(self, path: Path) -> None:
        """Everything as JSON. Raises SinkError where it cannot be written."""
        try:
            with atomic_write(path) as temporary:
                temporary.write_text(json.dumps(self.to_json(), indent=1) + "\n")
        except OSError as error:
            raise SinkError(f"cannot write {path}: {error.strerror}") from None

    def to_json(self) -> dict[str, Any]:
        translator, source = self.translator, self.source
        engine, geometry = translator.engine, translator.geometry
        return self.stats.to_json() | {
            "start_up_seconds": round(self.startup_s, 3),
            "source": {"name": source.name, "size": source.size, "live": source.live},
            "sinks": self.sinks,
            "model": {
                "name": translator.path.name,
                "norm": translator.metadata.norm,
                "architecture": translator.metadata.architecture,
            },
            "sizes": {
                "picture": geometry.image_size if geometry else None,
                "tensor": geometry.tensor_size if geometry else None,
                "output": geometry.output_size if geometry else None,
            },
            "engine": {
                "name": engine.name,
                "device": engine.device,
                "precision": engine.precision,
                "workers": translator.workers,
                "batch": translator.batch,
            },
            "deflicker": translator.deflicker_mode,
            "memory": {"peak_mib": peak_memory_bytes() // 2**20},
            "machine": {
                "cpu": cpu_name(),
                "cores": available_cpus(),
                "system": platform.system(),
                "pixels": simd_instruction_set(),
            },
            "versions": {"python": platform.python_version()} | _package_versions(),
        }


def peak_memory_bytes() -> int:
    """The most bytes this process ever held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _package_versions() -> dict[str, str]:
    found = {}
    for name in _REPORTED_PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _print_rows(console: Console, rows: list[tuple[str, str]]) -> None:
    table = Table.grid(padding=(0, 2))
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _format_size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
