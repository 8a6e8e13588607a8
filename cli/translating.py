"""What `translate` and `demo` share: one run with its bar and what is said at its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cgt.runtime.errors import Interrupted
from cgt.runtime.heap import limit_malloc_arenas
from cgt.runtime.pipeline import run_pipeline
from cgt.runtime.progress import progress_bar
from cgt.runtime.sinks import TranslatedFrame, open_sinks
from cgt.runtime.sources import Source, open_source
from cgt.runtime.sources.wrapped import RealtimeSource
from cgt.runtime.stats import Stats
from cgt.runtime.stopping import stop_on_signal
from cgt.runtime.translation import TranslateOptions

from .figures import LiveStatus, RunReport


@dataclass(frozen=True)
class TranslationRequest:
    """One `cgt translate`, as its flags say it."""

    source: str
    sinks: tuple[str, ...]
    options: TranslateOptions
    live: bool | None = None  # None: as the source is
    reconnect: bool = False
    stats_path: Path | None = None
    verbose: bool = False


def run_translation(
    request: TranslationRequest, on_result: Callable[[TranslatedFrame], None] = lambda result: None
) -> Stats:
    """Run it with a progress bar and print the table; `watch` sees each result.

    Raises Interrupted after a signal, with what was translated until then saved.
    """
    limit_malloc_arenas()
    console = Console(stderr=True)
    stats = Stats()
    started_at, options = time.perf_counter(), request.options
    with (
        stop_on_signal() as stop,
        open_source(
            request.source,
            options.audio,
            stream=options.stream,
            start=options.start,
            reconnect=request.reconnect,
        ) as source,
        options.open_translator(source, _is_live(request, source)) as translator,
        open_sinks(
            request.sinks, options.stream_format(source, translator), options.codec, options.view
        ) as sink,
    ):
        report = RunReport(
            request.sinks, source, translator, stats, time.perf_counter() - started_at
        )
        if request.verbose:
            report.print_details(console)
        live = _is_live(request, source)
        paced_source = RealtimeSource(source) if live and not source.live else source
        try:
            with progress_bar("translating", options.expected_frames(source)) as bar:
                status = LiveStatus(bar, stats, live)
                items = options.select_items(paced_source, stats)
                for result in run_pipeline(items, translator, sink, stats, stop, live):
                    status.advance()
                    on_result(result)
            report.print_summary(console)
        finally:
            if request.stats_path is not None and stats.frames > 0:
                report.write_json(request.stats_path)
    if stop.is_set():
        saved = f"{sink.name} holds the {stats.frames} frames done by then"
        raise Interrupted(f"stopped; {saved if stats.frames else 'no frame was done yet'}")
    return stats


def _is_live(request: TranslationRequest, source: Source) -> bool:
    return source.live if request.live is None else request.live
