"""What `translate` and `demo` print: a progress bar, live status, and a summary at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cgt.runtime.api import translate_file
from cgt.runtime.engines import preload_engine
from cgt.runtime.errors import CgtError, Interrupted
from cgt.runtime.image.geometry import format_size
from cgt.runtime.image.preprocess import simd_instruction_set
from cgt.runtime.inference.translator import resolve_model
from cgt.runtime.run_report import RunReport
from cgt.runtime.sinks import TranslatedFrame
from cgt.runtime.utils.cache import cache_dir
from cgt.runtime.utils.malloc import limit_malloc_arenas
from cgt.runtime.utils.preload import import_in_background
from cgt.runtime.utils.signals import stop_on_signal
from cgt.runtime.utils.stats import STAGES, Stats

from ._options import save_json

if TYPE_CHECKING:
    from rich.console import Console

    from cgt.runtime.batch.report import BatchReport
    from cgt.runtime.utils.progress import ProgressBar

# Imported while FFmpeg and the engine load files, which leaves Python idle.
_USED_LATER = ("cgt.runtime.utils.progress", "rich.table", "cgt.runtime.sinks.video")


def translate_with_progress(
    source: str | Sequence[str],
    sinks: tuple[str, ...],
    *,
    json_path: Path | None = None,
    verbose: bool = False,
    on_frame: Callable[[TranslatedFrame], None] = lambda frame: None,
    **options: Any,
) -> None:
    """Run `translate_file` with a progress bar and print a summary.

    A signal ends the run with Interrupted and the output saved. The JSON file is written even
    where the run fails, once a frame is done.
    """
    limit_malloc_arenas()
    preload_engine(resolve_model(options.get("model")), options.get("engine", "auto"))
    import_in_background(*_USED_LATER)
    started: list[tuple[RunReport, _LiveStatus]] = []
    with stop_on_signal() as stop, ExitStack() as stack:

        def on_start(report: RunReport) -> None:
            from cgt.runtime.utils.progress import progress_bar

            if verbose:
                print_details(report)
            bar = stack.enter_context(progress_bar("translating", report.expected_frames))
            live = options.get("live") or report.source.live
            started.append((report, _LiveStatus(bar, report.stats, live)))

        def on_each_frame(frame: TranslatedFrame) -> None:
            started[0][1].advance()
            on_frame(frame)

        try:
            translate_file(
                source, sinks, stop=stop, on_start=on_start, on_frame=on_each_frame, **options
            )
        except CgtError as error:
            stats = started[0][0].stats if started else Stats()
            if started and (isinstance(error, Interrupted) or (stats.frames and stats.failures)):
                stack.close()
                print_summary(started[0][0])
            raise
        finally:
            if json_path is not None and started and started[0][0].stats.frames > 0:
                save_json(json.dumps(started[0][0].to_json(), indent=1), json_path)
    print_summary(started[0][0])


class _LiveStatus:
    """Text beside the progress bar: the network's time and, for live sources, latency and drops."""

    INTERVAL_S = 0.5

    def __init__(self, bar: ProgressBar, stats: Stats, live: bool) -> None:
        self._bar, self._stats, self._live = bar, stats, live
        self._due = 0.0

    def advance(self) -> None:
        self._bar.advance()
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + self.INTERVAL_S
        stats = self._stats
        note = f"network {stats.stages['inference'].percentile(50) * 1e3:.1f} ms"
        if self._live:
            latency = stats.stages["latency"].percentile(99) * 1e3
            note += f", latency p99 {latency:.0f} ms, {stats.dropped} dropped"
        self._bar.set_postfix(note)


def print_details(report: RunReport) -> None:
    """Print what is known before the first frame, for --verbose."""
    from cgt.runtime.utils.progress import open_console

    source, translator = report.source, report.translator
    size = "varying sizes" if source.size is None else format_size(source.size)
    rate = f" at {float(source.rate):.3f} frames/s" if source.rate else ""
    aspect = source.sample_aspect_ratio
    rows = [("source", f"{source.name}: {size}{rate}, sample aspect ratio {aspect}")]
    if geometry := translator.geometry:
        image, tensor, output = (
            format_size(s)
            for s in (geometry.image_size, geometry.tensor_size, geometry.output_size)
        )
        rows.append(("sizes", f"image {image}, tensor {tensor}, output {output}"))
    rows += [
        ("network", f"{translator.metadata.norm} norm, {translator.metadata.io} tensors"),
        ("workers", f"{translator.workers} at once, batches of {translator.batch}"),
        ("deflicker", translator.deflicker_mode or "off"),
        ("pixels", f"C library, {simd_instruction_set()}"),
        ("cache", str(cache_dir() or "none: the cache folder cannot be written")),
    ]
    _print_rows(open_console(stderr=True), rows)


def print_summary(report: RunReport) -> None:
    """Print the model, engine, speed and output, and a table of the times per stage."""
    from rich.table import Table

    from cgt.runtime.utils.progress import open_console

    console = open_console(stderr=True)
    _print_rows(console, _summary_rows(report))
    timings = Table("stage", "p50 ms", "p99 ms", "max ms", title="per frame")
    timings.title_justify = "left"
    for column in timings.columns[1:]:
        column.justify = "right"
    for stage in STAGES:
        histogram = report.stats.stages[stage]
        if not histogram.counts.any():
            continue
        seconds = (histogram.percentile(50), histogram.percentile(99), histogram.max_seconds)
        style = "bold" if stage == "latency" else ""
        timings.add_row(stage, *(f"{value * 1e3:.2f}" for value in seconds), style=style)
    console.print(timings)
    for failure in report.stats.failures:
        click.secho(f"failed: {failure}", fg="red", err=True)


def _summary_rows(report: RunReport) -> list[tuple[str, str]]:
    translator, stats, source = report.translator, report.stats, report.source
    metadata, engine, geometry = translator.metadata, translator.engine, translator.geometry
    size = f" at {format_size(geometry.image_size)}" if geometry else ""
    domains = f"{metadata.source_domain} to {metadata.target_domain}"
    speed = f"{stats.fps:.1f} frames/s"
    if source.rate is not None and not source.live and source.size is not None:
        speed += f", {stats.fps / float(source.rate):.2f} times real time"
    not_shown = f", {stats.dropped} dropped" if stats.dropped or source.live else ""
    not_shown += f", {stats.skipped} skipped" if stats.skipped else ""
    duration = f"{stats.seconds:.1f} s (start-up {report.startup_s:.1f} s)"
    return [
        ("model", f"{translator.path.name}, {domains}{size}"),
        ("engine", f"{engine.name} on {engine.device}, {engine.precision}"),
        ("frames", f"{stats.frames}{not_shown} in {duration}"),
        ("speed", speed),
        ("output", ", ".join(report.sinks)),
    ]


def print_batch_summary(report: BatchReport) -> None:
    """Print how many videos and frames are done, and last what failed."""
    done = [video for video in report.videos if video.done]
    frames = sum(video.frame_count for video in done)
    skipped = sum(video.skipped for video in report.videos)
    retried = f", {report.retries} tasks tried again" if report.retries else ""
    already = f", {skipped} were finished before" if skipped else ""
    rows = [
        ("videos", f"{len(done)} done{already}"),
        ("frames", f"{frames} in {report.total_s:.1f} s, {frames / report.total_s:.1f} frames/s"),
        ("workers", f"{report.workers}{retried}"),
    ]
    from cgt.runtime.utils.progress import open_console

    _print_rows(open_console(stderr=True), rows)
    for video in report.videos:
        if video.error:
            click.secho(f"failed: {video.error}", fg="red", err=True)


def _print_rows(console: Console, rows: list[tuple[str, str]]) -> None:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
