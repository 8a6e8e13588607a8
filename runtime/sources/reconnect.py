"""Reconnection of live sources, with placeholder frames while the connection is lost."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial

import numpy as np

from ..errors import SourceError, UsageError
from ..image.opencv import cv2
from ..image.preprocess import U8
from ..utils.log import warn_user
from ..utils.signals import stop_requested
from .base import Frame, Packet, Source
from .frame_convert import letterbox
from .wrappers import SourceWrapper, shift_packet

_MIN_RETRY_DELAY_S, _MAX_RETRY_DELAY_S = 0.5, 4.0  # between attempts; doubles each time
_PLACEHOLDER_FPS = 5


class ReconnectingSource(SourceWrapper):
    """A live source that is opened again whenever it is lost, without a limit of attempts.

    Meanwhile it yields its last frame, darkened and marked. So a viewer sees the loss, and a
    recording keeps its timing.

    Args:
        inner: The live source, already open.
        open_again: Opens it again; SourceError leads to another attempt.

    Raises:
        UsageError: `inner` is not live.
    """

    def __init__(self, inner: Source, open_again: Callable[[], Source]) -> None:
        if not inner.live:
            raise UsageError(f"{inner.name} is not live; remove --reconnect")
        super().__init__(inner)
        self._open_again = open_again
        self._tick = inner.time_base or Fraction(1, 90000)
        self._time_offset = Fraction(0)
        self._last_frame: Frame | None = None
        self._last_time = self.start_time  # of all yielded frames
        self._clock_origin = 0.0  # time.perf_counter at stream time 0

    def __iter__(self) -> Iterator[Frame | Packet]:
        while not stop_requested():
            try:
                for item in self.inner:
                    if (continued := self._rebase_item(item)) is not None:
                        yield continued
                reason = f"{self.name} ended"
            except SourceError as error:
                reason = str(error)
            self.inner.close()
            warn_user(f"{reason}; reconnecting")
            since = time.perf_counter()
            yield from self._placeholder_frames()
            warn_user(f"{self.name} is back after {time.perf_counter() - since:.1f} s")

    def _rebase_item(self, item: Frame | Packet) -> Frame | Packet | None:
        """Shift an item to continue the stream before the loss; None drops it."""
        if isinstance(item, Packet):
            types = [stream.type for stream in self.inner.other_streams]
            same = types == [stream.type for stream in self.other_streams]
            return item if same and shift_packet(item, self._time_offset) else None
        if self.inner.size != self.size and self.size is not None:
            item = Frame(
                partial(_letterbox_frame, item, self.size),
                item.time,
                capture_time=item.capture_time,
                duration=item.duration,
            )
        item.time += self._time_offset
        if self._last_frame is None:
            self._clock_origin = item.capture_time - float(item.time)
        self._last_frame, self._last_time = item, item.time
        return item

    def _placeholder_frames(self) -> Iterator[Frame]:
        opened: queue.SimpleQueue[Source] = queue.SimpleQueue()
        cancelled = threading.Event()
        threading.Thread(
            target=self._reconnect_loop, args=(opened, cancelled), name="cgt-reconnect", daemon=True
        ).start()
        last, placeholder = self._last_frame, None
        try:
            while not stop_requested():
                try:
                    self.inner = opened.get(timeout=1 / _PLACEHOLDER_FPS)
                except queue.Empty:
                    if last is not None:
                        placeholder = (
                            _no_signal_frame(last.image) if placeholder is None else placeholder
                        )
                        yield Frame(placeholder, self._next_timestamp())
                    continue
                self._time_offset = (
                    self._next_timestamp() - self.inner.start_time if last else Fraction(0)
                )
                return
        finally:
            cancelled.set()
            if not opened.empty():
                opened.get().close()

    def _next_timestamp(self) -> Fraction:
        """Return the present on the stream's clock, later than all timestamps before."""
        wall_clock = Fraction(time.perf_counter() - self._clock_origin)
        self._last_time = max(
            self._last_time + self._tick, round(wall_clock / self._tick) * self._tick
        )
        return self._last_time

    def _reconnect_loop(
        self, opened: queue.SimpleQueue[Source], cancelled: threading.Event
    ) -> None:
        delay = _MIN_RETRY_DELAY_S
        while not cancelled.wait(delay):
            try:
                source = self._open_again()
            except SourceError:
                delay = min(2 * delay, _MAX_RETRY_DELAY_S)
                continue
            if cancelled.is_set():
                source.close()
            else:
                opened.put(source)
            return


def _letterbox_frame(frame: Frame, size: tuple[int, int]) -> U8:
    return letterbox(frame.image, size)


def _no_signal_frame(image: U8) -> U8:
    """Return a darkened copy with "NO SIGNAL" in its center."""
    dark: U8 = (image // 3).astype(np.uint8)
    height, width = dark.shape[:2]
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, width / 400
    (text_width, text_height), _ = cv2.getTextSize("NO SIGNAL", font, scale, 2)
    corner = ((width - text_width) // 2, (height + text_height) // 2)
    cv2.putText(dark, "NO SIGNAL", corner, font, scale, (255, 255, 255), 2, cv2.LINE_AA)
    return dark
