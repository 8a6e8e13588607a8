"""Reference workload for machine speed, and a monitor of other programs' CPU usage.

Two runs of a program on a shared or throttled machine differ because the machine differs. The
reference workload is the same in every run, so its drift shows how much of a difference the machine
causes.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

NUM_REPEATS = 3
_MATRIX_SIDE = 1024
_TICKS_PER_S = 100  # unit of /proc/stat on every Linux that runs cgt
_BUSY_FIELDS = (0, 1, 2, 5, 6, 7)  # user, nice, system, irq, softirq, steal
_STEAL_FIELD = 7


class ReferenceLoad:
    """Product of float32 matrices on all cores.

    It competes for the same resources as a network: vector units that two virtual machines share,
    caches, and clocks.
    """

    def __init__(self) -> None:
        self._factor = np.ones((_MATRIX_SIDE, _MATRIX_SIDE), np.float32)
        self._product = np.empty_like(self._factor)

    def __call__(self) -> float:
        """Return the milliseconds of the fastest of NUM_REPEATS products."""
        times = []
        for _ in range(NUM_REPEATS):
            started = time.perf_counter()
            np.matmul(self._factor, self._factor, out=self._product)
            times.append(time.perf_counter() - started)
        return min(times) * 1e3


class CpuUsageMonitor:
    """CPU usage of other programs and virtual machines since the previous call."""

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
        """Return (load of other programs, steal time) since the previous call.

        Both are shares of all cores of the machine, 0 to 1, or None where unknown.
        """
        before, now = self._last, self._read()
        self._last = now
        if before is None or now is None or now[0] <= before[0]:
            return None, None
        ticks = [new - old for new, old in zip(now[2], before[2], strict=True)]
        # The counters cover all cores of the machine, including those this process may not use.
        all_ticks = max(sum(ticks), 1)
        own = (now[1] - before[1]) * _TICKS_PER_S
        other_ticks = (sum(ticks[i] for i in _BUSY_FIELDS) - own) / all_ticks
        return min(max(other_ticks, 0.0), 1.0), ticks[_STEAL_FIELD] / all_ticks
