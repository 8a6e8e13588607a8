"""Protection of the scheduling policy of threads against video encoders."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def preserve_thread_scheduling() -> Iterator[None]:
    """Restore the scheduling policy of all threads after the block.

    When root opens SVT-AV1, it gives its own threads and the calling thread real-time scheduling of
    the highest priority (SCHED_FIFO 99). All threads and processes that the calling thread starts
    later inherit it, and a busy one then blocks the whole machine.
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
                with suppress(OSError):  # the thread has ended
                    os.sched_setscheduler(int(thread.name), policy, priority)
