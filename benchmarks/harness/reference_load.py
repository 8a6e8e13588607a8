"""How fast is the machine just now? A fixed piece of work, and who else uses the cores.

Two runs of the same program on a shared or throttled machine differ because the machine does. The
yardstick is the same work in every run, so its drift says how much of a difference is the machine.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

NUM_REPEATS = 3
_MATRIX_SIDE = 1024
_TICKS_PER_S = 100  # per second, of /proc/stat on every Linux that runs this
_BUSY_FIELDS = (0, 1, 2, 5, 6, 7)  # user, nice, system, irq, softirq, steal
_STEAL_FIELD = 7


class ReferenceLoad:
    """A product of float32 matrices on every core: what is short of something here, vector units
    that two machines share, caches or clocks, is what a network is short of."""

    def __init__(self) -> None:
        self._factor = np.ones((_MATRIX_SIDE, _MATRIX_SIDE), np.float32)
        self._product = np.empty_like(self._factor)

    def __call__(self) -> float:
        """Milliseconds, the quickest of a few."""
        times = []
        for _ in range(NUM_REPEATS):
            started = time.perf_counter()
            np.matmul(self._factor, self._factor, out=self._product)
            times.append(time.perf_counter() - started)
        return min(times) * 1e3


class CpuUsageMonitor:
    """Who used the cores since the last question: this process, others, other machines."""

    def __init__(self, stat: Path = Path("/proc/stat")) -> None:
        self._stat = stat
        self._last = self._read()

    def _read(self) -> tuple[float, float, list[int]] | None:
        try:
            line = self._stat.read_text(encoding="ascii").split("\n", 1)[0]
        except OSError:
            return None
        return time.perf_counter(), time.process_time(), [int(n) for n in line.split()[1:9]]

    def other_load_and_steal(self) -> tuple[float | None, float | None]:
        """(other programs, stolen), 0 to 1 of all the machine's cores; None where unknown."""
        before, now = self._last, self._read()
        self._last = now
        if before is None or now is None or now[0] <= before[0]:
            return None, None
        ticks = [new - old for new, old in zip(now[2], before[2], strict=True)]
        # Of this machine's cores: the counters hold all of them, whatever we may use ourselves.
        all_ticks = max(sum(ticks), 1)
        own = (now[1] - before[1]) * _TICKS_PER_S
        others = (sum(ticks[i] for i in _BUSY_FIELDS) - own) / all_ticks
        return min(max(others, 0.0), 1.0), ticks[_STEAL_FIELD] / all_ticks
