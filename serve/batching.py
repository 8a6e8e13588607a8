"""Whether an engine gains from several pictures at once: measured once for each, and remembered."""

from __future__ import annotations

import math
from pathlib import Path

from cgt.runtime.cache import Remembered, cpu_name, digest, file_digest
from cgt.runtime.engines import BatchShape, Engine, cores
from cgt.runtime.engines.fastest import run_time

MOST = 4  # pictures at once
_GAIN = 0.85  # of the time that they take one by one: what is worth their waiting for each other


class Gains:
    """What was found out about one engine of one model."""

    def __init__(self, path: Path, engine: Engine) -> None:
        self._memory = Remembered("batches.json")
        machine = cpu_name(), cores(), engine.name, engine.device, engine.precision
        self._key = digest(file_digest(path), *machine, MOST)

    @property
    def known(self) -> int | None:
        """See `measured`; None where that was not done yet."""
        found = self._memory.get(self._key)
        return found if isinstance(found, int) else None

    def measured(self, one: Engine, many: Engine, shape: BatchShape, batch: BatchShape) -> int:
        """From how many pictures on `many`, an engine of MOST, takes less time than `one` for each
        of them; 0 where it never does. Seconds of work at most."""
        single, together = run_time(one, shape), run_time(many, batch) * MOST
        least = max(2, math.ceil(together / (single * _GAIN)))
        found = least if least <= MOST else 0
        self._memory.put(self._key, found)
        return found
