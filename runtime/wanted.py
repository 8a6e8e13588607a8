"""Which frames of a source are wanted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from .sources import Frame, Packet, Source
from .stats import Stats

StreamItems = Iterable[Frame | Packet]


def limit_frames(
    source: Source | StreamItems, frames: int | None = None, duration: float | None = None
) -> Iterator[Frame | Packet]:
    """The first `frames` frames, or `duration` seconds, of a source, whichever ends first."""
    start: Fraction | None = None
    count = 0
    if frames == 0:
        return
    for item in source:
        if isinstance(item, Frame):
            start = item.time if start is None else start
            if duration is not None and item.time - start >= duration:
                return
            count += 1
        yield item
        if frames is not None and count >= frames:
            return


def limit_fps(items: StreamItems, max_fps: float, stats: Stats) -> Iterator[Frame | Packet]:
    """At most `rate` frames for each second of the stream's own clock, evenly; the others are
    counted in `stats.thinned`."""
    period = Fraction(1) / Fraction(max_fps).limit_denominator(1000)
    due: Fraction | None = None
    for item in items:
        if isinstance(item, Frame):
            if due is not None and item.time < due:
                stats.skipped += 1
                continue
            # On the grid, so that 30 to 20 frames/s takes two of three, not every other.
            due = item.time + period if due is None or item.time >= due + period else due + period
        yield item
