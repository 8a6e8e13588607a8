"""Live sources that come back."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial

import numpy as np

from ..errors import SourceError, UsageError
from ..notes import note
from ..opencv import cv2
from ..preprocess import U8
from ..stopping import asked_to_stop
from .base import Frame, Packet, Source
from .picture import fitted
from .wrapped import Wrapper, moved

_FIRST, _LONGEST = 0.5, 4.0  # seconds between attempts, doubling
_SLATES = 5  # a second, while there is nothing to see


class Reconnecting(Wrapper):
    """A live source that is opened again when it is lost, for as long as it takes.

    Meanwhile its last picture comes, dark and marked, so that whoever watches sees the loss and
    whoever records keeps the time. Raises UsageError for a source that is not live.
    """

    def __init__(self, inner: Source, reopen: Callable[[], Source]) -> None:
        if not inner.live:
            raise UsageError(f"{inner.name} is not live; leave --reconnect out")
        super().__init__(inner)
        self._reopen = reopen
        self._tick = inner.time_base or Fraction(1, 90000)
        self._shift = Fraction(0)
        self._last: Frame | None = None
        self._at = self.begin  # the latest time given out
        self._origin = 0.0  # when the stream's clock was at 0, on time.perf_counter

    def __iter__(self) -> Iterator[Frame | Packet]:
        while not asked_to_stop():
            try:
                for item in self.inner:
                    if (continued := self._continued(item)) is not None:
                        yield continued
                reason = f"{self.name} ended"
            except SourceError as error:
                reason = str(error)
            self.inner.close()
            note(f"{reason}; trying to reach it again")
            since = time.perf_counter()
            yield from self._wait_for_it()
            note(f"{self.name} is back after {time.perf_counter() - since:.1f} s")

    def _continued(self, item: Frame | Packet) -> Frame | Packet | None:
        """Moved to where the stream before the loss has led."""
        if isinstance(item, Packet):
            same = [s.type for s in self.inner.others] == [s.type for s in self.others]
            return item if same and moved(item, self._shift) else None
        if self.inner.size != self.size and self.size is not None:
            item = Frame(
                partial(_fitted, item, self.size),
                item.time,
                captured=item.captured,
                duration=item.duration,
            )
        item.time += self._shift
        if self._last is None:
            self._origin = item.captured - float(item.time)
        self._last, self._at = item, item.time
        return item

    def _wait_for_it(self) -> Iterator[Frame]:
        opened: queue.SimpleQueue[Source] = queue.SimpleQueue()
        given_up = threading.Event()
        threading.Thread(
            target=self._try, args=(opened, given_up), name="cgt-reconnect", daemon=True
        ).start()
        last, slate = self._last, None
        try:
            while not asked_to_stop():
                try:
                    self.inner = opened.get(timeout=1 / _SLATES)
                except queue.Empty:
                    if last is not None:
                        slate = _slate(last.image) if slate is None else slate
                        yield Frame(slate, self._now())
                    continue
                self._shift = self._now() - self.inner.begin if last else Fraction(0)
                return
        finally:
            given_up.set()
            if not opened.empty():
                opened.get().close()

    def _now(self) -> Fraction:
        """The present on the stream's clock, as its first frame set it; later than all before."""
        world = Fraction(time.perf_counter() - self._origin)
        self._at = max(self._at + self._tick, round(world / self._tick) * self._tick)
        return self._at

    def _try(self, opened: queue.SimpleQueue[Source], given_up: threading.Event) -> None:
        pause = _FIRST
        while not given_up.wait(pause):
            try:
                source = self._reopen()
            except SourceError:
                pause = min(2 * pause, _LONGEST)
                continue
            if given_up.is_set():
                source.close()
            else:
                opened.put(source)
            return


def _fitted(frame: Frame, size: tuple[int, int]) -> U8:
    return fitted(frame.image, size)


def _slate(image: U8) -> U8:
    """The picture dark, with a mark in its middle."""
    dark: U8 = (image // 3).astype(np.uint8)
    height, width = dark.shape[:2]
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, width / 400
    (text_width, text_height), _ = cv2.getTextSize("NO SIGNAL", font, scale, 2)
    corner = ((width - text_width) // 2, (height + text_height) // 2)
    cv2.putText(dark, "NO SIGNAL", corner, font, scale, (255, 255, 255), 2, cv2.LINE_AA)
    return dark
