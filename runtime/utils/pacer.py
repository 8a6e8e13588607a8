"""Real-time pacing of a stream by its timestamps."""

from __future__ import annotations

import time
from fractions import Fraction

from .signals import stop_requested

_MAX_LAG_S = 0.5  # a longer delay is not caught up
_MAX_SLEEP_S = 0.1  # between checks for a signal


class Pacer:
    """Delays the frames of a source that delivers faster than real time.

    The first frame is due at once, later ones at their distance from it. A stream that falls far
    behind continues from there instead of catching up.
    """

    def __init__(self) -> None:
        self._origin: float | None = None

    def due_time(self, stream_time: Fraction) -> float:
        """Return when the frame with this timestamp is due, in seconds of time.perf_counter."""
        now = time.perf_counter()
        if self._origin is None or now - (self._origin + float(stream_time)) > _MAX_LAG_S:
            self._origin = now - float(stream_time)
        return self._origin + float(stream_time)

    def wait(self, stream_time: Fraction) -> float:
        """Sleep until the frame is due or a signal arrives; return `due_time`."""
        due = self.due_time(stream_time)
        while (left := due - time.perf_counter()) > 0 and not stop_requested():
            time.sleep(min(left, _MAX_SLEEP_S))
        return due
