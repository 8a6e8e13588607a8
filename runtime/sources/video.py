"""Videos from files and networks, by PyAV."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import av
from av.stream import Disposition

from ..errors import SourceError, UsageError
from ..notes import note
from ..preprocess import U8
from .base import Frame, Packet, Source
from .cuts import find_cuts
from .demux import Reader
from .picture import color_of, fitted, orientation, rgb, turns, upright
from .wrapped import moved

_CLOCK = Fraction(1, 90000)


@dataclass(frozen=True)
class Input:
    """What FFmpeg is to open: a path, URL or device. format, options: FFmpeg's; guessed without.
    timeout: seconds that it may stay silent. live: None for what is live if it has no length."""

    file: Any
    name: str
    format: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None
    live: bool | None = False


class VideoSource(Source):
    """One video stream, decoded, and the packets of all other streams.

    Pictures are turned as the file says, deinterlaced where they are flagged, and all of the first
    one's size. What does not decode is left out and counted. stream: which of several.
    Raises SourceError where there is no frame to begin with.
    """

    def __init__(self, given: Input, audio: bool = True, stream: int | None = None) -> None:
        self.name = given.name
        try:
            self._container = av.open(
                given.file,
                format=given.format,
                options=dict(given.options),
                timeout=given.timeout,
                metadata_errors="replace",
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            raise SourceError(_why_not(given, error)) from None
        try:
            self.live = self._container.duration is None if given.live is None else given.live
            self._choose(stream, audio)
            endless = self.live and given.timeout is not None
            self._reader = Reader(self._container, self._stream, self.others, self.name, endless)
            self._items = iter(self._reader)
            self._ahead = self._peek()
        except BaseException:
            self._container.close()
            raise

    def _choose(self, number: int | None, audio: bool) -> None:
        streams = self._container.streams
        covers = [s for s in streams.video if s.disposition & Disposition.attached_pic]
        videos = [s for s in streams.video if s not in covers]
        if not videos:
            raise SourceError(f"{self.name} has no video stream")
        if number is not None and number >= len(videos):
            raise UsageError(f"{self.name} has {len(videos)} video streams; --stream counts from 0")
        self._stream = chosen = videos[number or 0]
        if len(videos) > 1 and number is None:
            note(
                f"{self.name} has {len(videos)} video streams; --stream takes another than the 0th"
            )
        if chosen.codec_context is None:
            raise SourceError(f"{self.name} has video of a kind that FFmpeg cannot decode")
        chosen.thread_type = "AUTO"
        if self.live:
            chosen.thread_type = "SLICE"  # frame threads hold back a frame each
        kinds = {"subtitle", "data", "attachment"} | ({"audio"} if audio else set())
        self.others = tuple(s for s in streams if s.type in kinds or s in covers)
        self.metadata = dict(self._container.metadata)
        self.chapters = tuple(self._container.chapters())

    def _peek(self) -> deque[av.VideoFrame | Packet]:
        """Everything up to the first frame, which says more of the stream than its header."""
        ahead: deque[av.VideoFrame | Packet] = deque()
        for item in self._items:
            ahead.append(item)
            if isinstance(item, av.VideoFrame):
                self._describe(item)
                return ahead
        raise SourceError(f"{self.name} has no frame that decodes")

    def _describe(self, frame: av.VideoFrame) -> None:
        stream = self._stream
        self._matrix = orientation(frame)
        self._coded = (frame.height, frame.width)
        self._resized = False
        self.aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
        self.size = self._coded
        if turns(self._matrix):
            self.size, self.aspect = self._coded[::-1], 1 / self.aspect
        self.color = color_of(frame)
        self.rate = stream.average_rate or stream.guessed_rate or None
        self.time_base = stream.time_base
        # Motion JPEG has no times of its own.
        self._by_arrival = self.live and "jpeg" in self._container.format.name
        if self._by_arrival:
            self.time_base = _CLOCK
        # Recordings that begin at some hour of a broadcast begin at zero, as with ffmpeg.
        tick = self.time_base or _CLOCK
        begins = Fraction(max(0, self._container.start_time or 0), av.time_base)
        self._zero = Fraction(0) if self._by_arrival else round(begins / tick) * tick
        self._opened = perf_counter()
        self.begin = self._time(frame, 0)
        self.count = stream.frames or self._estimated_count()
        if any(part.bits > 8 for part in frame.format.components):
            note(f"{self.name} has {frame.format.name} pictures; 8 bits of each value are used")

    def _estimated_count(self) -> int | None:
        if self._container.duration is None or self.rate is None:
            return None
        return round(Fraction(self._container.duration, av.time_base) * self.rate)

    def __iter__(self) -> Iterator[Frame | Packet]:
        pictures = 0
        for item in self._all():
            if isinstance(item, Packet):
                if moved(item, -self._zero):
                    yield item
                continue
            self._watch_size(item)
            time = self._time(item, pictures)
            ticks = item.duration * item.time_base if item.duration and item.time_base else None
            cut = not self.live and self._reader.cuts.at(item.pts)
            yield Frame(partial(self._picture, item), time, duration=ticks, cut=cut)
            pictures += 1

    def undecoded(self) -> Iterator[Packet]:
        """Instead of iteration: the packets of the other streams alone, which takes no time."""
        self._reader.decodes = False
        return (item for item in self if isinstance(item, Packet))

    def find_cuts(self) -> list[Fraction]:
        """The times of the pictures that will be cuts (see `cuts`); none where the file has to be
        read in one go. Raises SourceError."""
        container = self._container
        kind = container.format.name
        if self.live or not ("mp4" in kind or "matroska" in kind) or not self.alike:
            return []
        assert self._stream.time_base is not None
        try:
            ticks = find_cuts(Path(container.name), self._stream.index)
        except (av.FFmpegError, OSError) as error:
            raise SourceError(f"{self.name} is not read to its end: {error.strerror}") from None
        return [tick * self._stream.time_base - self._zero for tick in ticks]

    @property
    def alike(self) -> bool:
        """Whether all pictures so far would have been the same if reading had begun at the key
        picture before them: undamaged, not deinterlaced, of one size."""
        return self._reader.spotless and not self._resized

    def _all(self) -> Iterator[av.VideoFrame | Packet]:
        while self._ahead:
            yield self._ahead.popleft()
        yield from self._items

    def _watch_size(self, frame: av.VideoFrame) -> None:
        if (frame.height, frame.width) != self._coded:
            self._resized = True
            before, self._coded = self._coded, (frame.height, frame.width)
            note(
                f"{self.name} goes from {before[1]}x{before[0]} to {frame.width}x{frame.height} "
                "pixels; its pictures are fitted into the first size"
            )

    def _picture(self, frame: av.VideoFrame) -> U8:
        assert self.size is not None
        return fitted(upright(rgb(frame), self._matrix), self.size)

    def _time(self, frame: av.VideoFrame, index: int) -> Fraction:
        if self._by_arrival:
            return round((perf_counter() - self._opened) / float(_CLOCK)) * _CLOCK
        if frame.pts is not None and frame.time_base is not None:
            return frame.pts * frame.time_base - self._zero
        return index / (self.rate or Fraction(25))

    def seek(self, seconds: Fraction) -> None:
        try:
            self._container.seek(int((self._zero + self.begin + seconds) * av.time_base))
        except (av.FFmpegError, OSError):
            return  # a stream that only goes forward
        self._items = iter(self._reader)
        self._ahead.clear()

    def close(self) -> None:
        self._container.close()


def _why_not(given: Input, error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error)
    if isinstance(error, (av.ExitError, TimeoutError)):
        reason = f"nothing came for {given.timeout:g} s"
    if isinstance(error, av.InvalidDataError):
        return f"{given.name} is not a video that FFmpeg can read"
    return f"{given.name} does not open: {reason}"
