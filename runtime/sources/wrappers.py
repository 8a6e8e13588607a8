"""Source wrappers and frame limits: trimming, segments, one size, real time, rate limit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import Path

from ..errors import SourceError
from ..image.color import WHITE, Color
from ..image.geometry import format_size
from ..image.preprocess import U8
from ..utils.log import warn_user, warn_user_once
from ..utils.pacer import Pacer
from ..utils.stats import Stats
from .base import Frame, Packet, Source

_FORWARDED_ATTRIBUTES = (
    *("name", "size", "rate", "start_time", "time_base", "sample_aspect_ratio", "frame_count"),
    *("live", "color_space", "other_streams", "cover_art", "metadata", "chapters"),
    *("files", "frame_names"),
)


class SourceWrapper(Source):
    """Base class of sources that wrap another one, with copies of its attributes."""

    def __init__(self, inner: Source) -> None:
        self.inner = inner
        for attribute in _FORWARDED_ATTRIBUTES:
            setattr(self, attribute, getattr(inner, attribute))

    def seek(self, seconds: Fraction) -> None:
        self.inner.seek(seconds)

    def would_read(self, path: Path) -> bool:
        return self.inner.would_read(path)

    def close(self) -> None:
        self.inner.close()


class TrimmedSource(SourceWrapper):
    """A source without its first seconds, with its times shifted back to `start_time`.

    Args:
        inner: A recording.
        seconds: How much to skip.
    """

    def __init__(self, inner: Source, seconds: float) -> None:
        super().__init__(inner)
        tick = inner.time_base or Fraction(1, 1000)
        self._trim_time = round(Fraction(seconds) / tick) * tick
        if self.frame_count is not None and self.rate is not None:
            self.frame_count = max(0, self.frame_count - round(self._trim_time * self.rate))
        self.chapters = ()
        inner.seek(self._trim_time)

    def __iter__(self) -> Iterator[Frame | Packet]:
        first = self.start_time + self._trim_time
        for item in self.inner:
            if isinstance(item, Frame):
                if item.time >= first:
                    item.time -= self._trim_time
                    yield item
            elif shift_packet(item, -self._trim_time, self.start_time):
                yield item


class SegmentSource(SourceWrapper):
    """The frames of one segment of a video, without the packets of other streams.

    Args:
        inner: The whole video.
        start: The time in seconds of the boundary at which it starts; None for the first frame.
        end: The time in seconds of the boundary before which it ends; None for the end.
    """

    def __init__(self, inner: Source, start: Fraction | None, end: Fraction | None) -> None:
        super().__init__(inner)
        self.other_streams = ()
        self._start, self._end = start, end
        if start is not None:
            inner.seek(start - inner.start_time)

    def __iter__(self) -> Iterator[Frame | Packet]:
        for item in self.inner:
            if isinstance(item, Packet) or (self._start is not None and item.time < self._start):
                continue
            if self._end is not None and item.time >= self._end:
                return
            item.starts_segment = False
            yield item


class FittedSource(SourceWrapper):
    """Images as frames of one video, which has the size of the first image.

    Images of another size are fitted into it with black bars, and cgt prints the first of them.

    Args:
        inner: Images of equal or different sizes.
        background: The color on which transparent pixels are composited.
        keep_alpha: Print when transparency is lost.

    Raises:
        SourceError: No image can be read.
    """

    def __init__(self, inner: Source, background: Color = WHITE, keep_alpha: bool = False) -> None:
        super().__init__(inner)
        self._transparency = background, keep_alpha
        self._items = map(self._set_transparency, inner)
        self._first_items: list[Frame | Packet] = []
        self._size_changed = False
        error = SourceError(f"{inner.name} has no image")
        for item in self._items:
            self._first_items.append(item)
            if isinstance(item, Frame):
                try:
                    self.size = (item.image.shape[0], item.image.shape[1])
                    return
                except SourceError as unreadable:
                    error = unreadable
        raise error

    def __iter__(self) -> Iterator[Frame | Packet]:
        for item in chain(self._first_items, self._items):
            if isinstance(item, Frame):
                fit = partial(self._fit, item)
                yield Frame(fit, item.time, item.name, item.capture_time, is_still=True)

    def _set_transparency(self, item: Frame | Packet) -> Frame | Packet:
        if isinstance(item, Frame):
            item.background, item.keep_alpha = self._transparency
        return item

    def _fit(self, frame: Frame) -> U8:
        from .frame_convert import letterbox

        assert self.size is not None
        size = (frame.image.shape[0], frame.image.shape[1])
        if frame.alpha is not None:
            warn_user_once(f"alpha in {self.name}", "the video has no transparency; images can")
        if size != self.size and not self._size_changed:
            self._size_changed = True
            warn_user(
                f"{frame.name} is {format_size(size)}: fitting images into the "
                f"{format_size(self.size)} of the first one (select by --size)"
            )
        return letterbox(frame.image, self.size)


class RealtimeSource(SourceWrapper):
    """A recording that plays in real time, like a live source."""

    def __init__(self, inner: Source) -> None:
        super().__init__(inner)
        self.live = True

    def __iter__(self) -> Iterator[Frame | Packet]:
        pacer = Pacer()
        for item in self.inner:
            if isinstance(item, Frame):
                item.capture_time = pacer.wait(item.time)
            yield item


def shift_packet(packet: Packet, offset: Fraction, earliest: Fraction | None = None) -> bool:
    """Shift a packet in time; return False if it then lies before `earliest`."""
    av_packet = packet.av_packet
    if av_packet.pts is None:
        return offset == 0
    ticks = round(offset / av_packet.time_base)
    av_packet.pts += ticks
    if av_packet.dts is not None:
        av_packet.dts += ticks
    return earliest is None or bool(av_packet.pts * av_packet.time_base >= earliest)


StreamItems = Iterable[Frame | Packet]


def limit_frames(
    source: Source | StreamItems, frames: int | None = None, duration: float | None = None
) -> Iterator[Frame | Packet]:
    """Yield the first `frames` frames or `duration` seconds of a source, whichever ends first."""
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
    """Drop frames so that at most `max_fps` remain per second of the stream's own clock.

    The remaining frames are evenly spaced. The dropped ones are counted in `stats.skipped`.
    """
    period = Fraction(1) / Fraction(max_fps).limit_denominator(1000)
    due: Fraction | None = None
    for item in items:
        if isinstance(item, Frame):
            if due is not None and item.time < due:
                stats.skipped += 1
                continue
            # Stay on the grid: 30 to 20 fps must keep two of three frames, not every other one.
            due = item.time + period if due is None or item.time >= due + period else due + period
        yield item
