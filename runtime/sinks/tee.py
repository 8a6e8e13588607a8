"""Several sinks at once, and views of a result."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import SinkError
from ..notes import note
from ..sources import Packet
from ..views import View, compose
from .base import Result, Sink


class Tee(Sink):
    """Gives everything to all. One that fails keeps what it could and is left behind while the
    others go on; the run then ends as failed, with all other sinks complete."""

    def __init__(self, sinks: list[Sink]) -> None:
        self._sinks = sinks
        self._failures: list[SinkError] = []
        self.name = " and ".join(sink.name for sink in sinks)

    @property
    def ended(self) -> bool:
        return any(sink.ended for sink in self._sinks)

    def write(self, result: Result) -> None:
        self._all(lambda sink: sink.write(result))

    def pass_through(self, packet: Packet) -> None:
        self._all(lambda sink: sink.pass_through(packet))

    def _all(self, act: Callable[[Sink], None]) -> None:
        for sink in list(self._sinks):
            try:
                act(sink)
            except SinkError as error:
                self._sinks.remove(sink)
                sink.close()
                self._failures.append(error)
                if not self._sinks:
                    raise
                note(f"{error}; going on with {self._sinks[0].name}")

    def finish(self) -> None:
        self._all(lambda sink: sink.finish())
        if self._failures:
            raise self._failures[0]

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()


class Viewed(Sink):
    """A sink that gets another view than the translation."""

    def __init__(self, sink: Sink, view: View) -> None:
        self._sink, self._view = sink, view
        self.name = sink.name

    @property
    def ended(self) -> bool:
        return self._sink.ended

    def write(self, result: Result) -> None:
        image = compose(result.frame.image, result.image, self._view)
        self._sink.write(Result(result.frame, image))

    def pass_through(self, packet: Packet) -> None:
        self._sink.pass_through(packet)

    def finish(self) -> None:
        self._sink.finish()

    def close(self) -> None:
        self._sink.close()
