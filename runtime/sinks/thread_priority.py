"""What an encoder must not change: how the threads of this process are scheduled."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def preserve_thread_scheduling() -> Iterator[None]:
    """After the block all threads are scheduled as the calling one was before it.

    SVT-AV1, opened by root, makes its own threads and the one that opens it real-time ones of the
    highest priority (SCHED_FIFO 99). Whatever that thread starts later is so, too, and what is busy
    then holds up the whole machine.
    """
    if sys.platform != "linux":
        yield
        return
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            for thread in Path("/proc/self/task").iterdir():
                with suppress(OSError):  # it has ended
                    os.sched_setscheduler(int(thread.name), policy, priority)
