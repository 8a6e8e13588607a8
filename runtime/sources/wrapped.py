"""Sources around sources: a later beginning, a piece, real time."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from ..pace import Pace
from .base import Frame, Packet, Source

_FACTS = (
    *("name", "size", "rate", "begin", "time_base", "aspect", "count", "live", "color"),
    *("others", "metadata", "chapters"),
)


class Wrapper(Source):
    """Says of itself what the source inside says."""

    def __init__(self, inner: Source) -> None:
        self.inner = inner
        for fact in _FACTS:
            setattr(self, fact, getattr(inner, fact))

    def seek(self, seconds: Fraction) -> None:
        self.inner.seek(seconds)

    def close(self) -> None:
        self.inner.close()


class Starting(Wrapper):
    """A source without its first seconds; times move so that it still begins at `begin`."""

    def __init__(self, inner: Source, seconds: float) -> None:
        super().__init__(inner)
        tick = inner.time_base or Fraction(1, 1000)
        self._skipped = round(Fraction(seconds) / tick) * tick
        if self.count is not None and self.rate is not None:
            self.count = max(0, self.count - round(self._skipped * self.rate))
        self.chapters = ()
        inner.seek(self._skipped)

    def __iter__(self) -> Iterator[Frame | Packet]:
        first = self.begin + self._skipped
        for item in self.inner:
            if isinstance(item, Frame):
                if item.time >= first:
                    item.time -= self._skipped
                    yield item
            elif moved(item, -self._skipped, self.begin):
                yield item


class Piece(Wrapper):
    """The pictures of [first, end) of a film, alone. first: the time of one of its cuts, or None
    for its beginning. end: of another, or None for its end."""

    def __init__(self, inner: Source, first: Fraction | None, end: Fraction | None) -> None:
        super().__init__(inner)
        self.others = ()
        self._first, self._end = first, end
        if first is not None:
            inner.seek(first - inner.begin)

    def __iter__(self) -> Iterator[Frame | Packet]:
        for item in self.inner:
            if isinstance(item, Packet) or (self._first is not None and item.time < self._first):
                continue
            if self._end is not None and item.time >= self._end:
                return
            item.cut = False
            yield item


class Paced(Wrapper):
    """A recording that plays as if it were live."""

    def __init__(self, inner: Source) -> None:
        super().__init__(inner)
        self.live = True

    def __iter__(self) -> Iterator[Frame | Packet]:
        pace = Pace()
        for item in self.inner:
            if isinstance(item, Frame):
                item.captured = pace.wait(item.time)
            yield item


def moved(packet: Packet, by: Fraction, earliest: Fraction | None = None) -> bool:
    """Moves a packet in time; False where it then lies before `earliest`."""
    inside = packet.packet
    if inside.pts is None:
        return by == 0
    ticks = round(by / inside.time_base)
    inside.pts += ticks
    if inside.dts is not None:
        inside.dts += ticks
    return earliest is None or bool(inside.pts * inside.time_base >= earliest)
