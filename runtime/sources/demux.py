"""Reading on through damage."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import av

from ..errors import SourceError
from ..notes import note
from .base import Packet
from .cuts import Cuts
from .picture import Deinterlacer

_PATIENCE = 1000  # failures in a row, after which the rest is taken for lost


class Reader:
    """Decoded frames and the packets of other streams, in the order of the file.

    Damaged packets are skipped and counted; what was lost is said at the end. Raises SourceError
    where the stream breaks off, after the frames before it. endless: a stream that has no end of
    its own, and may be joined in its middle.
    """

    def __init__(
        self,
        container: Any,
        video: av.VideoStream,
        others: tuple[Any, ...],
        name: str,
        endless: bool,
    ) -> None:
        self._container, self._video, self._name = container, video, name
        self._endless = endless
        self._index = {stream.index: i for i, stream in enumerate(others)}
        self.cuts = Cuts()
        self.decodes = True  # may be turned off underway

    def __iter__(self) -> Iterator[av.VideoFrame | Packet]:
        self._frames = self._bad = self._damaged = self._marked = 0
        self._steady = self._missing = 0  # steps of one frame; frames that longer ones lack
        self._last = self._reached = 0.0  # seconds: of the frames, of all packets
        self._step = 1 / float(self._video.average_rate or 25)
        self._deinterlacer: Deinterlacer | None = None
        try:
            lost = yield from self._demux()
            if lost is not None and self.decodes:
                yield from self._progressive(self._decode(None))
            if self._deinterlacer is not None:
                yield from self._count(self._deinterlacer(None))
        finally:
            self._report()
        if lost is not None:
            raise SourceError(f"{self._name} breaks off after {self._frames} frames: {lost}")

    def _demux(self) -> Generator[av.VideoFrame | Packet, None, str | None]:
        """All items; returns what ended it too early, or None."""
        failures = 0
        while True:
            try:
                for packet in self._container.demux():
                    if packet.size:
                        self._bad += failures
                        failures = 0
                    yield from self._items(packet)
                if self._endless:
                    return "the other end closed it"
                return "it is cut short" if failures or self._is_short() else None
            except av.InvalidDataError:
                failures += 1
                if failures == _PATIENCE:
                    return "the rest is damaged"
            except (av.ExitError, TimeoutError):
                return "nothing came for too long"
            except (av.FFmpegError, OSError) as error:
                return error.strerror or str(error)

    def _is_short(self) -> bool:
        """Whether all streams end long before the length that the file's header promises."""
        kind, length = self._container.format.name, self._container.duration
        if length is None or not ("matroska" in kind or "mp4" in kind):
            return False  # elsewhere FFmpeg only estimates it
        return bool(self._reached < 0.95 * length / av.time_base - 0.5)

    def _items(self, packet: Any) -> Iterator[av.VideoFrame | Packet]:
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is not None:
            self._reached = max(self._reached, float(stamp * packet.time_base))
        if packet.stream.index in self._index:
            if packet.dts is not None:  # the flush at the end has none
                yield Packet(self._index[packet.stream.index], packet)
        elif packet.stream.index == self._video.index:
            self._marked += bool(packet.is_corrupt)
            self.cuts.look(packet)
            if self.decodes:
                yield from self._progressive(self._decode(packet))

    def _decode(self, packet: Any) -> list[av.VideoFrame]:
        try:
            return self._video.decode(packet)
        except av.FFmpegError:
            # Who joins a stream cannot decode what refers to pictures before.
            self._bad += packet is not None and (self._frames > 0 or not self._endless)
            return []

    def _progressive(self, frames: list[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        for frame in frames:
            self._damaged += bool(frame.is_corrupt)
            if self._deinterlacer is None and frame.interlaced_frame:
                note(f"{self._name} is interlaced: deinterlaced with bwdif")
                self._deinterlacer = Deinterlacer(self._video)
            yield from self._count(self._deinterlacer(frame) if self._deinterlacer else [frame])

    def _count(self, frames: list[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        for frame in frames:
            time = frame.time or 0.0
            steps = (time - self._last) / self._step if self._frames else 1.0
            self._steady += 0.8 < steps < 1.2
            self._missing += max(0, round(steps) - 1) if steps > 3 else 0
            self._last = time
            self._frames += 1
            yield frame

    @property
    def spotless(self) -> bool:
        """Nothing so far that made one picture depend on others than the file means it to."""
        return not (self._bad or self._damaged or self._marked or self._deinterlacer)

    def _report(self) -> None:
        """Some containers find their way behind damage without a word: there a gap says it, in a
        stream that is steady otherwise."""
        damaged = max(self._damaged, self._marked)
        steady = self._steady > 0.9 * self._frames and not self._endless
        missing = self._missing if steady else 0
        if self._bad or damaged or missing:
            note(
                f"{self._name} is damaged: {self._bad} packets do not decode, {damaged} frames "
                f"are incomplete, about {missing} are missing; "
                f"{self._frames - damaged} good ones were read"
            )
