"""Sink combinators: several sinks at once, and composed views of a result."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import SinkError
from ..image.compose import ViewMode, compose_view
from ..image.validation import YUVFormat
from ..sources import Packet
from ..utils.log import warn_user
from .base import Sink, TranslatedFrame


class TeeSink(Sink):
    """Sink that writes to several others.

    A sink that fails saves what it can and is dropped, while the others continue. `finish` raises
    the first failure after it has completed all other sinks.
    """

    def __init__(self, sinks: list[Sink]) -> None:
        self._sinks = sinks
        self._failures: list[SinkError] = []
        self.name = " and ".join(sink.name for sink in sinks)

    @property
    def closed_by_user(self) -> bool:
        return any(sink.closed_by_user for sink in self._sinks)

    @property
    def yuv_format(self) -> YUVFormat | None:
        formats = {sink.yuv_format for sink in self._sinks}
        return formats.pop() if len(formats) == 1 else None

    def write(self, result: TranslatedFrame) -> None:
        self._for_each(lambda sink: sink.write(result))

    def write_packet(self, packet: Packet) -> None:
        self._for_each(lambda sink: sink.write_packet(packet))

    def _for_each(self, action: Callable[[Sink], None]) -> None:
        for sink in list(self._sinks):
            try:
                action(sink)
            except SinkError as error:
                self._sinks.remove(sink)
                sink.close()
                self._failures.append(error)
                if not self._sinks:
                    raise
                warn_user(f"{error}; continuing with {self._sinks[0].name}")

    def finish(self) -> None:
        self._for_each(lambda sink: sink.finish())
        if self._failures:
            raise self._failures[0]

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()


class ComposedSink(Sink):
    """Sink that writes a composed view of each result, such as a split screen."""

    def __init__(self, sink: Sink, view: ViewMode) -> None:
        self._sink, self._view = sink, view
        self.name = sink.name

    @property
    def closed_by_user(self) -> bool:
        return self._sink.closed_by_user

    def write(self, result: TranslatedFrame) -> None:
        image = compose_view(result.source_frame.image, result.image, self._view)
        self._sink.write(TranslatedFrame(result.source_frame, image))

    def write_packet(self, packet: Packet) -> None:
        self._sink.write_packet(packet)

    def finish(self) -> None:
        self._sink.finish()

    def close(self) -> None:
        self._sink.close()
