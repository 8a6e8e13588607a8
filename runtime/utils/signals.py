"""Graceful stop on SIGINT and SIGTERM."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_stop_requested = threading.Event()  # global, because signals belong to the process


def stop_requested() -> bool:
    """Return whether a signal has arrived.

    For loops that wait without seeing the event: a pause, a silent pipe, a missing camera.
    """
    return _stop_requested.is_set()


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """Make SIGINT and SIGTERM set the event instead of ending the process; a second one ends it.

    Only the main thread can handle signals; in other threads the event is never set.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def request_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        _stop_requested.set()
        restore()

    for number in before:
        signal.signal(number, request_stop)
    try:
        yield stop
    finally:
        restore()
        _stop_requested.clear()
