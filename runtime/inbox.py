"""What lies between a source and the workers: the one place where live frames give way."""

from __future__ import annotations

import threading
from collections import deque

from .sources import Frame, Packet


class Ended:
    """Nothing more comes. error: why, where it is not simply over."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class Inbox:
    """A short queue of frames, with the packets that came between them.

    live: it holds one frame, and a newer one takes its place, so that what is taken is never older
    than the engine was busy. Otherwise it holds `room` frames, and `put` waits.
    """

    def __init__(self, live: bool, room: int = 2) -> None:
        self._live, self._room = live, 1 if live else room
        self._items: deque[Frame | Packet] = deque()
        self._frames = 0
        self._ended: Ended | None = None
        self._changed = threading.Condition()

    def put(self, item: Frame | Packet) -> int:
        """Returns how many frames gave way: 0 or 1. After the end nothing is taken in."""
        with self._changed:
            if isinstance(item, Packet):
                self._append(item)
                return 0
            dropped = 0
            while self._frames >= self._room and self._ended is None:
                if self._live:
                    self._drop()
                    dropped += 1
                else:
                    self._changed.wait()
            self._frames += 1
            self._append(item)
            return dropped

    def _append(self, item: Frame | Packet) -> None:
        if self._ended is None:
            self._items.append(item)
            self._changed.notify_all()

    def _drop(self) -> None:
        oldest = next(item for item in self._items if isinstance(item, Frame))
        self._items.remove(oldest)
        self._frames -= 1

    def take(self) -> Frame | Packet | Ended:
        """The oldest item; waits for it. After the end, once it is empty, the same Ended to all."""
        with self._changed:
            while not self._items and self._ended is None:
                self._changed.wait()
            if not self._items:
                assert self._ended is not None
                return self._ended
            item = self._items.popleft()
            if isinstance(item, Frame):
                self._frames -= 1
                self._changed.notify_all()
            return item

    @property
    def ended(self) -> bool:
        return self._ended is not None

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more comes; what is here can still be taken. The first call counts."""
        with self._changed:
            self._ended = self._ended or Ended(error)
            self._changed.notify_all()

    def abandon(self) -> None:
        """Nobody wants the rest."""
        self.end()
        with self._changed:
            self._items.clear()
            self._frames = 0
            self._changed.notify_all()
