"""How much of the engine's own speed a whole translation reaches, decode to encode.

    python -m benchmarks.suites.pipeline [VIDEO] [--model FILE] [--size 256] [--rounds 3]
                                        [--frames N] [--seconds 5] [--sink out.mp4|null:]
    python -m benchmarks.suites.pipeline [VIDEO] --null

Rounds are interleaved: the engine alone, its `workers` busy with noise, then the pipeline with the
same engine; medians of frames/s, and their ratio by round. CPU time per frame stands beside them:
it is the same on a busy machine. --null puts a network that does nothing (simulated) in the
engine's place, so that what is left is the pipeline, and says which of its stages is the slowest.

A simulated engine, for measuring everything around one.
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
    """Gives back what it got, after `seconds` in which it needs no core."""

    name, device, precision = "identity (simulated)", "none", "none"

    def __init__(self, seconds: float = 0.0, workers: int = 1) -> None:
        self._seconds, self.workers = seconds, workers

    def infer(
        self, batch: Array, out: Array, given: F32 | None = None, used: F32 | None = None
    ) -> None:
        end = time.perf_counter() + self._seconds
        np.copyto(out, batch)
        if self._seconds:
            time.sleep(max(0.0, end - time.perf_counter()))

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class PipelineSpeed:
    """frames/s by the clock; milliseconds of CPU for each frame."""

    fps: float
    cpu_ms: float


def measure_engine(translator: Translator, seconds: float) -> PipelineSpeed:
    """The engine with all its workers, on noise."""
    assert translator.geometry is not None
    counts = [0] * translator.workers
    stop = threading.Event()

    def work(index: int) -> None:
        geometry = translator.geometry
        assert geometry is not None
        tensors = IOBuffers(translator.metadata, geometry.image_size, geometry, translator.batch)
        noise = np.random.default_rng(index).integers(0, 256, (*geometry.image_size, 3), np.uint8)
        for slot in range(translator.batch):
            tensors.load(slot, noise)
        while not stop.is_set():
            translator.engine.infer(tensors.batch, tensors.out, *tensors.statistics)
            counts[index] += translator.batch

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(counts))]
    cpu, began = time.process_time(), time.perf_counter()
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    return PipelineSpeed(sum(counts) / took, (time.process_time() - cpu) / sum(counts) * 1e3)


def measure_translation(
    video: Path, translator: Translator, out: str, frames: int | None
) -> tuple[PipelineSpeed, Stats]:
    """The whole pipeline with the same engine."""
    stats = Stats()
    cpu = time.process_time()
    with (
        open_source(str(video)) as source,
        open_sink(out, StreamFormat.from_source(source, translator.geometry)) as sink,
    ):
        for _ in run_pipeline(
            limit_frames(source, frames), translator, sink, stats, threading.Event()
        ):
            pass
    spent = (time.process_time() - cpu) / stats.frames * 1e3
    return PipelineSpeed(stats.fps, spent), stats


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
@click.option("--seconds", default=5.0, show_default=True, help="Of the engine alone, by round.")
@click.option("--sink", default="", help="A temporary mp4 by default.")
@click.option("--null", is_flag=True, help="A network that does nothing.")
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
    """Prints a table; --json keeps every round."""
    video = video or sample_clip()
    with open_source(str(video)) as source:
        frame = source.size
    chosen: str | Engine = IdentityEngine(workers=available_cpus()) if null else engine
    engine_speeds, pipeline_speeds = [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        Translator(
            model,
            engine=chosen,
            size=parse_size(size),
            frame_size=frame,
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
    table = Table("", "frames/s", "CPU ms a frame", title=f"{video.name}, {model.name} at {size}")
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
    facts: dict[str, Any] = {
        "alone": [vars(s) for s in engine_speeds],
        "pipeline": [vars(s) for s in pipeline_speeds],
    }
    if engine_speeds:
        pairs = list(zip(pipeline_speeds, engine_speeds, strict=True))
        reached = statistics.median(a.fps / b.fps for a, b in pairs)
        by_cpu = statistics.median(b.cpu_ms / a.cpu_ms for a, b in pairs)
        facts |= {"efficiency": reached, "efficiency_by_cpu": by_cpu}
        console.print(f"{reached:.1%} of the engine's own frames/s; {by_cpu:.1%} by CPU time")
    else:
        stages = {name: stats.stages[name].percentile(50) * 1e3 for name in STAGES[:5]}
        console.print(", ".join(f"{name} {ms:.2f} ms" for name, ms in stages.items()))
        slowest = max(stages, key=lambda name: stages[name])
        console.print(f"the slowest stage of the last round: {slowest}")
    if json_path:
        json_path.write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    run_command(main)
