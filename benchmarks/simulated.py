"""A simulated engine, for measuring everything around one."""

from __future__ import annotations

import time

import numpy as np

from cgt.runtime.engines import Array, Engine
from cgt.runtime.preprocess import F32


class IdentityEngine(Engine):
    """Gives back what it got, after `seconds` in which it needs no core."""

    name, device, precision = "identity (simulated)", "none", "none"

    def __init__(self, seconds: float = 0.0, workers: int = 1) -> None:
        self._seconds, self.workers = seconds, workers

    def infer(
        self, batch: Array, out: Array, given: F32 | None = None, used: F32 | None = None
    ) -> None:
        end = time.perf_counter() + self._seconds
        np.copyto(out, batch)
        if self._seconds:
            time.sleep(max(0.0, end - time.perf_counter()))

    def close(self) -> None:
        pass
