"""What is done to a source: the model and the flags that decide what comes out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from .errors import UsageError
from .geometry import Size
from .sinks import StreamFormat
from .sources import Source
from .stats import Stats
from .translator import Translator
from .views import View
from .wanted import Items, limited, thinned


@dataclass(frozen=True, kw_only=True)
class Translation:
    """The flags of `cgt translate` by their names; see Translator, limited, thinned."""

    model: str | Path | None = None
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
    audio: bool = True
    start: float = 0.0
    stream: int | None = None
    codec: str | None = None
    view: View = "translated"

    def translator(self, source: Source, live: bool = False) -> Translator:
        """Ready for the frames of that source. Raises what Translator raises."""
        if live and self.batch > 1:
            raise UsageError("--batch waits for several frames; leave it out, or add --no-live")
        return Translator(
            self.model,
            engine=self.engine,
            size=self.size,
            output=self.output_size,
            frame=source.size,
            aspect=source.aspect,
            goal="latency" if live else "throughput",
            batch=self.batch,
            tile=self.tile,
            overlap=self.overlap,
            calm=self.calm,
        )

    def format(self, source: Source, translator: Translator) -> StreamFormat:
        """What the sink has to expect."""
        stream = StreamFormat.of(source, translator.geometry)
        if self.max_fps is None:
            return stream
        most = Fraction(self.max_fps).limit_denominator(1000)
        return dataclasses.replace(stream, rate=min(stream.rate, most) if stream.rate else most)

    def items(self, source: Source, stats: Stats) -> Items:
        """The frames that are wanted."""
        items: Items = limited(source, self.frames, self.duration)
        if self.max_fps is not None:
            items = thinned(items, self.max_fps, stats)
        return items

    def expected(self, source: Source) -> int | None:
        """Frames to come, as far as one can tell."""
        counts = [count for count in (source.count, self.frames) if count is not None]
        if self.duration is not None and source.rate is not None:
            counts.append(round(self.duration * source.rate))
        return min(counts) if counts else None
