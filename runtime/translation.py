"""What is done to a source: the model and the flags that decide what comes out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from .errors import UsageError
from .geometry import SizeSpec
from .sinks import StreamFormat
from .sources import Source
from .stats import Stats
from .translator import Translator
from .views import ViewMode
from .wanted import StreamItems, limit_fps, limit_frames


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
