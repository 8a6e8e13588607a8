"""What `translate` and `demo` share: one run with its bar and what is said at its end."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from rich.console import Console

from cgt.runtime.errors import Interrupted, UsageError
from cgt.runtime.geometry import Size
from cgt.runtime.heap import share_one_heap
from cgt.runtime.pipeline import run
from cgt.runtime.progress import progress_bar
from cgt.runtime.sinks import Result, StreamFormat, open_sinks
from cgt.runtime.sources import Source, open_source
from cgt.runtime.sources.wrapped import Paced
from cgt.runtime.stats import Stats
from cgt.runtime.stopping import stop_on_signal
from cgt.runtime.translator import Translator
from cgt.runtime.views import View
from cgt.runtime.wanted import Items, limited, thinned

from .figures import Facts, Status


@dataclass(frozen=True)
class Job:
    """One `cgt translate`, as its flags say it."""

    source: str
    sinks: tuple[str, ...]
    model: str | None = None
    engine: str = "auto"
    size: Size = None
    output_size: Size = None
    tile: int | None = None
    overlap: int | None = None
    batch: int = 1
    calm: float = 0.0
    frames: int | None = None
    duration: float | None = None
    max_fps: float | None = None
    live: bool | None = None  # None: as the source is
    audio: bool = True
    start: float = 0.0
    stream: int | None = None
    reconnect: bool = False
    codec: str | None = None
    view: View = "translated"
    stats: Path | None = None
    verbose: bool = False


def translate_job(job: Job, watch: Callable[[Result], None] = lambda result: None) -> Stats:
    """Run it with a progress bar and print the table; `watch` sees each result.

    Raises Interrupted after a signal, with what was translated until then saved.
    """
    share_one_heap()
    console = Console(stderr=True)
    stats = Stats()
    began = time.perf_counter()
    with (
        stop_on_signal() as stop,
        open_source(
            job.source, job.audio, stream=job.stream, start=job.start, reconnect=job.reconnect
        ) as source,
        open_translator(job, source) as translator,
        open_sinks(job.sinks, _format(job, source, translator), job.codec, job.view) as sink,
    ):
        facts = Facts(job.sinks, source, translator, stats, time.perf_counter() - began)
        if job.verbose:
            facts.print_details(console)
        live = source.live if job.live is None else job.live
        try:
            with progress_bar("translating", _expected(source, job)) as bar:
                status = Status(bar, stats, live)
                items = _items(job, source, stats)
                for result in run(items, translator, sink, stats, stop, live):
                    status.advance()
                    watch(result)
            facts.print_table(console)
        finally:
            if job.stats is not None and stats.frames > 0:
                facts.write(job.stats)
    if stop.is_set():
        kept = f"{sink.name} holds the {stats.frames} frames done by then"
        raise Interrupted(f"stopped; {kept if stats.frames else 'no frame was done yet'}")
    return stats


def open_translator(job: Job, source: Source) -> Translator:
    """Ready for the frames of that source."""
    live = source.live if job.live is None else job.live
    if live and job.batch > 1:
        raise UsageError("--batch waits for several frames; leave it out, or add --no-live")
    return Translator(
        job.model,
        engine=job.engine,
        size=job.size,
        output=job.output_size,
        frame=source.size,
        aspect=source.aspect,
        goal="latency" if live else "throughput",
        batch=job.batch,
        tile=job.tile,
        overlap=job.overlap,
        calm=job.calm,
    )


def _format(job: Job, source: Source, translator: Translator) -> StreamFormat:
    """What the sink has to expect."""
    stream = StreamFormat.of(source, translator.geometry)
    if job.max_fps is None:
        return stream
    most = Fraction(job.max_fps).limit_denominator(1000)
    return dataclasses.replace(stream, rate=min(stream.rate, most) if stream.rate else most)


def _items(job: Job, source: Source, stats: Stats) -> Items:
    """The frames that are wanted."""
    played = Paced(source) if job.live and not source.live else source
    items: Items = limited(played, job.frames, job.duration)
    if job.max_fps is not None:
        items = thinned(items, job.max_fps, stats)
    return items


def _expected(source: Source, job: Job) -> int | None:
    """Frames to come, as far as one can tell."""
    counts = [count for count in (source.count, job.frames) if count is not None]
    if job.duration is not None and source.rate is not None:
        counts.append(round(job.duration * source.rate))
    return min(counts) if counts else None
