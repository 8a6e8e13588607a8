"""Pipeline efficiency: the frame rate of a whole translation compared with the engine alone.

    python -m benchmarks.suites.pipeline [VIDEO] [--model FILE] [--size 256] [--rounds 3] [--frames
        N] [--seconds 5] [--sink out.mp4|null:]
    python -m benchmarks.suites.pipeline [VIDEO] --null

Each round measures the engine alone, its `workers` busy with noise, then the pipeline with the same
engine. The table shows medians of frames/s and of the CPU time per frame, which stays the same on a
busy machine. --null replaces the network with one that copies its input (simulated). What is left
is the pipeline, and the command prints its slowest stage.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from cgt.runtime.engines import Array, Engine, available_cpus
from cgt.runtime.image.geometry import parse_size
from cgt.runtime.image.preprocess import F32
from cgt.runtime.inference.buffers import IOBuffers
from cgt.runtime.inference.translator import DEFAULT_MODEL, Translator
from cgt.runtime.models.sample_clip import sample_clip
from cgt.runtime.pipeline import limit_frames, run_pipeline
from cgt.runtime.sinks import StreamFormat, open_sink
from cgt.runtime.sources import open_source
from cgt.runtime.utils.stats import STAGES, Stats

from ._cli import run_command


class IdentityEngine(Engine):
    """A simulated engine that copies its input and takes `seconds` without using a core."""

    name, device, precision = "identity (simulated)", "none", "none"

    def __init__(self, seconds: float = 0.0, workers: int = 1) -> None:
        self._seconds, self.workers = seconds, workers

    def infer(
        self,
        batch: Array,
        out: Array,
        statistics_in: F32 | None = None,
        statistics_out: F32 | None = None,
    ) -> None:
        end = time.perf_counter() + self._seconds
        np.copyto(out, batch)
        if self._seconds:
            time.sleep(max(0.0, end - time.perf_counter()))

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class PipelineSpeed:
    """Frames per second, and milliseconds of CPU time per frame."""

    fps: float
    cpu_ms: float


def measure_engine(translator: Translator, seconds: float) -> PipelineSpeed:
    """Measure the engine with all its workers on noise."""
    assert translator.geometry is not None
    counts = [0] * translator.workers
    stop = threading.Event()

    def work(index: int) -> None:
        geometry = translator.geometry
        assert geometry is not None
        buffers = IOBuffers(translator.metadata, geometry.image_size, geometry, translator.batch)
        noise = np.random.default_rng(index).integers(0, 256, (*geometry.image_size, 3), np.uint8)
        for slot in range(translator.batch):
            buffers.load(slot, noise)
        while not stop.is_set():
            translator.engine.infer(buffers.batch, buffers.out, *buffers.statistics)
            counts[index] += translator.batch

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(counts))]
    cpu_start, started = time.process_time(), time.perf_counter()
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    seconds_taken = time.perf_counter() - started
    cpu_ms = (time.process_time() - cpu_start) / sum(counts) * 1e3
    return PipelineSpeed(sum(counts) / seconds_taken, cpu_ms)


def measure_translation(
    video: Path, translator: Translator, out: str, frames: int | None
) -> tuple[PipelineSpeed, Stats]:
    """Measure the whole pipeline with the same engine."""
    stats = Stats()
    cpu_start = time.process_time()
    with (
        open_source(str(video)) as source,
        open_sink(out, StreamFormat.from_source(source, translator.geometry)) as sink,
    ):
        for _ in run_pipeline(
            limit_frames(source, frames), translator, sink, stats, threading.Event()
        ):
            pass
    cpu_ms = (time.process_time() - cpu_start) / stats.frames * 1e3
    return PipelineSpeed(stats.fps, cpu_ms), stats


@click.command()
@click.argument(
    "video", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False
)
@click.option("--model", type=click.Path(path_type=Path), default=DEFAULT_MODEL)
@click.option("--engine", default="auto", show_default=True)
@click.option("--size", default="256", show_default=True)
@click.option("--batch", default=1, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--frames", type=click.IntRange(1))
@click.option(
    "--seconds",
    default=5.0,
    show_default=True,
    help="Duration of each measurement of the engine alone.",
)
@click.option("--sink", default="", help="Output URI; a temporary MP4 file by default.")
@click.option("--null", is_flag=True, help="Replace the network with a copy of its input.")
@click.option("--json", "json_path", type=click.Path(path_type=Path))
def main(
    video: Path | None,
    model: Path,
    engine: str,
    size: str,
    batch: int,
    rounds: int,
    frames: int | None,
    seconds: float,
    sink: str,
    null: bool,
    json_path: Path | None,
) -> None:
    """Print a table; --json also writes every round."""
    video = video or sample_clip()
    with open_source(str(video)) as source:
        frame_size = source.size
    selected: str | Engine = IdentityEngine(workers=available_cpus()) if null else engine
    engine_speeds, pipeline_speeds = [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        Translator(
            model,
            engine=selected,
            size=parse_size(size),
            upsampling="none",
            frame_size=frame_size,
            performance_hint="throughput",
            batch=batch,
        ) as translator,
    ):
        out = "null:" if null else sink or str(Path(folder) / "out.mp4")
        for _ in range(rounds):
            if not null:
                engine_speeds.append(measure_engine(translator, seconds))
            speed, stats = measure_translation(video, translator, out, frames)
            pipeline_speeds.append(speed)
        name = f"{translator.engine.name} {translator.engine.precision}"
    table = Table("", "frames/s", "CPU ms per frame", title=f"{video.name}, {model.name} at {size}")
    for column in table.columns[1:]:
        column.justify = "right"
    for label, speeds in (
        (name, engine_speeds),
        (f"decode to {Path(out).suffix or out}", pipeline_speeds),
    ):
        if speeds:
            table.add_row(
                label,
                f"{statistics.median(s.fps for s in speeds):.1f}",
                f"{statistics.median(s.cpu_ms for s in speeds):.2f}",
            )
    console = Console()
    console.print(table)
    document: dict[str, Any] = {
        "engine": [vars(s) for s in engine_speeds],
        "pipeline": [vars(s) for s in pipeline_speeds],
    }
    if engine_speeds:
        pairs = list(zip(pipeline_speeds, engine_speeds, strict=True))
        reached = statistics.median(a.fps / b.fps for a, b in pairs)
        by_cpu = statistics.median(b.cpu_ms / a.cpu_ms for a, b in pairs)
        document |= {"efficiency": reached, "efficiency_by_cpu": by_cpu}
        console.print(f"{reached:.1%} of the engine's own frames/s; {by_cpu:.1%} in CPU time")
    else:
        shown = [name for name in STAGES if stats.stages[name].counts.any() and name != "latency"]
        stages = {name: stats.stages[name].percentile(50) * 1e3 for name in shown}
        console.print(", ".join(f"{name} {ms:.2f} ms" for name, ms in stages.items()))
        slowest = max(stages, key=lambda name: stages[name])
        console.print(f"the slowest stage of the last round: {slowest}")
    if json_path:
        json_path.write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    run_command(main)
