"""What `translate` and `demo` share: one run with its bar, and the table at its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from cgt.runtime.errors import Interrupted
from cgt.runtime.geometry import Size
from cgt.runtime.pipeline import limited, run
from cgt.runtime.progress import progress_bar
from cgt.runtime.sinks import Result, StreamFormat, open_sinks
from cgt.runtime.sources import Source, open_source
from cgt.runtime.stats import STAGES, Stats
from cgt.runtime.stopping import stop_on_signal
from cgt.runtime.translator import Translator
from cgt.runtime.views import View


@dataclass(frozen=True)
class Job:
    """One `cgt translate`, as its flags say it."""

    source: str
    sinks: tuple[str, ...]
    model: str | None = None
    engine: str = "auto"
    size: Size = None
    frames: int | None = None
    duration: float | None = None
    audio: bool = True
    start: float = 0.0
    stream: int | None = None
    reconnect: bool = False
    codec: str | None = None
    view: View = "translated"


def translate_job(job: Job, watch: Callable[[Result], None] = lambda result: None) -> Stats:
    """Run it with a progress bar and print the table; `watch` sees each result.

    Raises Interrupted after a signal, with what was translated until then saved.
    """
    console = Console(stderr=True)
    stats = Stats()
    began = time.perf_counter()
    with (
        open_source(
            job.source, job.audio, stream=job.stream, start=job.start, reconnect=job.reconnect
        ) as source,
        Translator(
            job.model,
            engine=job.engine,
            size=job.size,
            frame=source.size,
            aspect=source.aspect,
            goal="latency" if source.live else "throughput",
        ) as translator,
        open_sinks(
            job.sinks, StreamFormat.of(source, translator.geometry), job.codec, job.view
        ) as sink,
    ):
        start_up = time.perf_counter() - began
        with stop_on_signal() as stop, progress_bar("translating", _expected(source, job)) as bar:
            items = limited(source, job.frames, job.duration)
            for result in run(items, translator, sink, stats, stop, source.live):
                bar.advance()
                watch(result)
        print_table(console, job, source, translator, stats, start_up)
    if stop.is_set():
        kept = f"{sink.name} holds the {stats.frames} frames done by then"
        raise Interrupted(f"stopped; {kept if stats.frames else 'no frame was done yet'}")
    return stats


def _expected(source: Source, job: Job) -> int | None:
    """Frames to come, as far as one can tell."""
    counts = [count for count in (source.count, job.frames) if count is not None]
    if job.duration is not None and source.rate is not None:
        counts.append(round(job.duration * source.rate))
    return min(counts) if counts else None


def print_table(
    console: Console,
    job: Job,
    source: Source,
    translator: Translator,
    stats: Stats,
    start_up: float,
) -> None:
    """What was translated, how fast, by what, and where the time went."""
    artifact, engine, geometry = translator.artifact, translator.engine, translator.geometry
    size = f" at {geometry.picture[0]}x{geometry.picture[1]}" if geometry else ""
    speed = f"{stats.fps:.1f} frames/s"
    if source.rate is not None and not source.live and source.size is not None:
        speed += f", {stats.fps / float(source.rate):.2f} times real time"
    dropped = f", {stats.dropped} dropped" if source.live else ""
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("model", f"{translator.path.name}, {artifact.source} to {artifact.target}{size}"),
        ("engine", f"{engine.name} on {engine.device}, {engine.precision}"),
        ("frames", f"{stats.frames}{dropped} in {stats.seconds:.1f} s (start-up {start_up:.1f} s)"),
        ("speed", speed),
        ("output", ", ".join(job.sinks)),
    ):
        facts.add_row(name, value)
    console.print(facts)
    times = Table("stage", "p50 ms", "p99 ms", title="per frame", title_justify="left")
    for column in times.columns[1:]:
        column.justify = "right"
    for stage in STAGES:
        histogram = stats.stages[stage]
        times.add_row(
            stage, *(f"{histogram.percentile(q) * 1e3:.2f}" for q in (50, 99)), style=_style(stage)
        )
    console.print(times)


def _style(stage: str) -> str:
    return "bold" if stage == "latency" else ""
