"""A stream's own clock on this machine's."""

from __future__ import annotations

import time
from fractions import Fraction

from .signals import stop_requested

_MAX_LAG_S = 0.5  # seconds behind, after which there is no catching up


class Pacer:
    """Real time for something that comes faster: the first time asked for is now, the others follow
    at their distance from it. Who falls far behind goes on from there instead of hurrying."""

    def __init__(self) -> None:
        self._origin: float | None = None

    def due_time(self, stream_time: Fraction) -> float:
        """When that is, on time.perf_counter."""
        now = time.perf_counter()
        if self._origin is None or now - (self._origin + float(stream_time)) > _MAX_LAG_S:
            self._origin = now - float(stream_time)
        return self._origin + float(stream_time)

    def wait(self, stream_time: Fraction) -> float:
        """Sleep until then, or until a signal asks to stop; returns `due`."""
        due = self.due_time(stream_time)
        while (left := due - time.perf_counter()) > 0 and not stop_requested():
            time.sleep(min(left, 0.1))
        return due
