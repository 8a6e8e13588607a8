"""The runtime in one call.

What is done to a source: the model and the flags that decide what comes out.

What `translate` and `demo` share: one run with its bar and what is said at its end.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from rich.console import Console

from .errors import Interrupted, UsageError
from .image.compose import ViewMode
from .image.geometry import SizeSpec
from .image.preprocess import U8
from .inference.translator import Translator
from .pipeline import run_pipeline, translate_stream
from .run_report import LiveStatus, RunReport
from .sinks import StreamFormat, TranslatedFrame, open_sinks
from .sources import Source, open_source
from .sources.wrappers import RealtimeSource, StreamItems, limit_fps, limit_frames
from .utils.malloc import limit_malloc_arenas
from .utils.progress import progress_bar
from .utils.signals import stop_on_signal
from .utils.stats import Stats


@dataclass(frozen=True, kw_only=True)
class TranslateOptions:
    """The flags of `cgt translate` by their names; see Translator, limited, thinned."""

    model: str | Path | None = None
    engine: str = "auto"
    size: SizeSpec = None
    output_size: SizeSpec = None
    tile: int | None = None
    overlap: int | None = None
    batch: int = 1
    deflicker: float = 0.0
    frames: int | None = None
    duration: float | None = None
    max_fps: float | None = None
    audio: bool = True
    start: float = 0.0
    stream: int | None = None
    codec: str | None = None
    view: ViewMode = "translated"

    def open_translator(self, source: Source, live: bool = False) -> Translator:
        """Ready for the frames of that source. Raises what Translator raises."""
        if live and self.batch > 1:
            raise UsageError("--batch waits for several frames; leave it out, or add --no-live")
        return Translator(
            self.model,
            engine=self.engine,
            size=self.size,
            output_size=self.output_size,
            frame_size=source.size,
            sample_aspect_ratio=source.sample_aspect_ratio,
            performance_hint="latency" if live else "throughput",
            batch=self.batch,
            tile=self.tile,
            overlap=self.overlap,
            deflicker=self.deflicker,
        )

    def stream_format(self, source: Source, translator: Translator) -> StreamFormat:
        """What the sink has to expect."""
        stream = StreamFormat.from_source(source, translator.geometry)
        if self.max_fps is None:
            return stream
        max_rate = Fraction(self.max_fps).limit_denominator(1000)
        return dataclasses.replace(
            stream, rate=min(stream.rate, max_rate) if stream.rate else max_rate
        )

    def select_items(self, source: Source, stats: Stats) -> StreamItems:
        """The frames that are wanted."""
        items: StreamItems = limit_frames(source, self.frames, self.duration)
        if self.max_fps is not None:
            items = limit_fps(items, self.max_fps, stats)
        return items

    def expected_frames(self, source: Source) -> int | None:
        """Frames to come, as far as one can tell."""
        counts = [count for count in (source.frame_count, self.frames) if count is not None]
        if self.duration is not None and source.rate is not None:
            counts.append(round(self.duration * source.rate))
        return min(counts) if counts else None


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


def translate(
    source: str | Path,
    *,
    model: str | Path | None = None,
    engine: str = "auto",
    size: SizeSpec = None,
    output_size: SizeSpec = None,
    deflicker: float = 0.0,
    tile: int | None = None,
    batch: int = 1,
    frames: int | None = None,
    max_fps: float | None = None,
    live: bool | None = None,
    stats: Stats | None = None,
) -> Iterator[U8]:
    """Translate a video, a folder of images or a camera; yields each frame as uint8 HWC RGB.

    model: an ONNX file, or a bundled one: "monet" (the default), "vintage".
    size: (height, width) that the network sees, "source" for the frame's own, or None for the
    model's size with the picture's aspect kept; output: the same for what is yielded. calm, tile,
    batch: see Translator. frames: stop after so
    many. max_fps: leave frames out above that rate. live: drop frames to stay in time; as the
    source is by default. A file then plays at its own pace. stats: is filled while the frames come.
    Raises SourceError, ModelError, EngineError and UsageError; see cgt.runtime.errors.
    """
    stats = stats if stats is not None else Stats()
    options = TranslateOptions(
        model=model,
        engine=engine,
        size=size,
        output_size=output_size,
        tile=tile,
        batch=batch,
        deflicker=deflicker,
        frames=frames,
        max_fps=max_fps,
    )
    with open_source(str(source), audio=False) as opened:
        live = opened.live if live is None else live
        items = options.select_items(
            RealtimeSource(opened) if live and not opened.live else opened, stats
        )
        with options.open_translator(opened, live) as translator:
            for item in translate_stream(items, translator, stats, threading.Event(), live):
                if isinstance(item, TranslatedFrame):
                    stats.add_output_frame(item.source_frame.capture_time)
                    yield item.image
