"""Reading on through damage."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import av

from ..errors import SourceError
from ..notes import note
from .base import Packet
from .picture import Deinterlacer

_PATIENCE = 1000  # failures in a row, after which the rest is taken for lost


class Reader:
    """Decoded frames and the packets of other streams, in the order of the file.

    Damaged packets are skipped and counted; what was lost is said at the end. Raises SourceError
    where the stream breaks off, after the frames before it.
    """

    def __init__(
        self, container: Any, video: av.VideoStream, others: tuple[Any, ...], name: str
    ) -> None:
        self._container, self._video, self._others, self._name = container, video, others, name
        self._index = {stream.index: i for i, stream in enumerate(others)}
        self._deinterlacer: Deinterlacer | None = None

    def __iter__(self) -> Iterator[av.VideoFrame | Packet]:
        self._frames = self._bad = self._damaged = 0
        self._deinterlacer = None
        try:
            lost = yield from self._demux()
            if lost is not None:
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
                for packet in self._container.demux([self._video, *self._others]):
                    if packet.size:
                        self._bad += failures
                        failures = 0
                    yield from self._items(packet)
                return "it is cut short" if failures else None
            except av.InvalidDataError:
                failures += 1
                if failures == _PATIENCE:
                    return "the rest is damaged"
            except (av.ExitError, TimeoutError):
                return "nothing came for too long"
            except (av.FFmpegError, OSError) as error:
                return error.strerror or str(error)

    def _items(self, packet: Any) -> Iterator[av.VideoFrame | Packet]:
        if packet.stream.index in self._index:
            if packet.dts is not None:  # the flush at the end has none
                yield Packet(self._index[packet.stream.index], packet)
            return
        yield from self._progressive(self._decode(packet))

    def _decode(self, packet: Any) -> list[av.VideoFrame]:
        try:
            return self._video.decode(packet)
        except av.FFmpegError:
            self._bad += 1
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
            self._frames += 1
            yield frame

    def _report(self) -> None:
        if self._bad or self._damaged:
            note(
                f"{self._name} is damaged: {self._bad} packets do not decode, {self._damaged} "
                f"frames are incomplete; {self._frames - self._damaged} good ones were read"
            )
