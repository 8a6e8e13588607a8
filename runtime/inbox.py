"""What lies between a source and the workers: the one place where live frames give way."""

from __future__ import annotations

import threading
from collections import deque

from .sources import Frame, Packet


class EndOfStream:
    """Nothing more comes. error: why, where it is not simply over."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class FrameQueue:
    """A short queue of frames, with the packets that came between them.

    live: it holds one frame, and a newer one takes its place, so that what is taken is never older
    than the engine was busy. Otherwise it holds `room` frames, and `put` waits.
    """

    def __init__(self, live: bool, maxsize: int = 2) -> None:
        self._live, self._maxsize = live, 1 if live else maxsize
        self._items: deque[Frame | Packet] = deque()
        self._frame_count = 0
        self._end_of_stream: EndOfStream | None = None
        self._condition = threading.Condition()

    def put(self, item: Frame | Packet) -> int:
        """Returns how many frames gave way: 0 or 1. After the end nothing is taken in."""
        with self._condition:
            if isinstance(item, Packet):
                self._append(item)
                return 0
            dropped = 0
            while self._frame_count >= self._maxsize and self._end_of_stream is None:
                if self._live:
                    self._drop_oldest()
                    dropped += 1
                else:
                    self._condition.wait()
            self._frame_count += 1
            self._append(item)
            return dropped

    def _append(self, item: Frame | Packet) -> None:
        if self._end_of_stream is None:
            self._items.append(item)
            self._condition.notify_all()

    def _drop_oldest(self) -> None:
        oldest = next(item for item in self._items if isinstance(item, Frame))
        self._items.remove(oldest)
        self._frame_count -= 1

    def get(self) -> Frame | Packet | EndOfStream:
        """The oldest item; waits for it. After the end, once it is empty, the same Ended to all."""
        with self._condition:
            while not self._items and self._end_of_stream is None:
                self._condition.wait()
            if not self._items:
                assert self._end_of_stream is not None
                return self._end_of_stream
            item = self._items.popleft()
            if isinstance(item, Frame):
                self._frame_count -= 1
                self._condition.notify_all()
            return item

    @property
    def closed(self) -> bool:
        return self._end_of_stream is not None

    def close(self, error: BaseException | None = None) -> None:
        """Nothing more comes; what is here can still be taken. The first call counts."""
        with self._condition:
            self._end_of_stream = self._end_of_stream or EndOfStream(error)
            self._condition.notify_all()

    def discard(self) -> None:
        """Nobody wants the rest."""
        self.close()
        with self._condition:
            self._items.clear()
            self._frame_count = 0
            self._condition.notify_all()
