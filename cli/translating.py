"""What `translate` and `demo` share: one run with its bar and what is said at its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cgt.runtime.errors import Interrupted
from cgt.runtime.heap import share_one_heap
from cgt.runtime.pipeline import run
from cgt.runtime.progress import progress_bar
from cgt.runtime.sinks import Result, open_sinks
from cgt.runtime.sources import Source, open_source
from cgt.runtime.sources.wrapped import Paced
from cgt.runtime.stats import Stats
from cgt.runtime.stopping import stop_on_signal
from cgt.runtime.translation import Translation

from .figures import Facts, Status


@dataclass(frozen=True)
class Job:
    """One `cgt translate`, as its flags say it."""

    source: str
    sinks: tuple[str, ...]
    given: Translation
    live: bool | None = None  # None: as the source is
    reconnect: bool = False
    stats: Path | None = None
    verbose: bool = False


def translate_job(job: Job, watch: Callable[[Result], None] = lambda result: None) -> Stats:
    """Run it with a progress bar and print the table; `watch` sees each result.

    Raises Interrupted after a signal, with what was translated until then saved.
    """
    share_one_heap()
    console = Console(stderr=True)
    stats = Stats()
    began, given = time.perf_counter(), job.given
    with (
        stop_on_signal() as stop,
        open_source(
            job.source, given.audio, stream=given.stream, start=given.start, reconnect=job.reconnect
        ) as source,
        given.translator(source, _live(job, source)) as translator,
        open_sinks(job.sinks, given.format(source, translator), given.codec, given.view) as sink,
    ):
        facts = Facts(job.sinks, source, translator, stats, time.perf_counter() - began)
        if job.verbose:
            facts.print_details(console)
        live = _live(job, source)
        played = Paced(source) if live and not source.live else source
        try:
            with progress_bar("translating", given.expected(source)) as bar:
                status = Status(bar, stats, live)
                items = given.items(played, stats)
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


def _live(job: Job, source: Source) -> bool:
    return source.live if job.live is None else job.live
