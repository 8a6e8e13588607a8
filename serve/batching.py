"""Whether an engine gains from several pictures at once: measured once for each, and remembered."""

from __future__ import annotations

import math
from pathlib import Path

from cgt.runtime.cache import JsonCache, cached_sha256, cpu_name, short_hash
from cgt.runtime.engines import BatchShape, Engine, available_cpus
from cgt.runtime.engines.fastest import measure_frame_time

MAX_BATCH = 4  # pictures at once
_MAX_RELATIVE_TIME = (
    0.85  # of the time that they take one by one: what is worth their waiting for each other
)


class BatchSpeedup:
    """What was found out about one engine of one model."""

    def __init__(self, model_path: Path, engine: Engine) -> None:
        self._cache = JsonCache("batches.json")
        machine = cpu_name(), available_cpus(), engine.name, engine.device, engine.precision
        self._key = short_hash(cached_sha256(model_path), *machine, MAX_BATCH)

    @property
    def cached_min_batch(self) -> int | None:
        """See `measured`; None where that was not done yet."""
        found = self._cache.get(self._key)
        return found if isinstance(found, int) else None

    def measure_min_batch(
        self,
        single_engine: Engine,
        batch_engine: Engine,
        single_shape: BatchShape,
        batch_shape: BatchShape,
    ) -> int:
        """From how many pictures on `many`, an engine of MOST, takes less time than `one` for each
        of them; 0 where it never does. Seconds of work at most."""
        single_time, batch_time = (
            measure_frame_time(single_engine, single_shape),
            measure_frame_time(batch_engine, batch_shape) * MAX_BATCH,
        )
        min_batch = max(2, math.ceil(batch_time / (single_time * _MAX_RELATIVE_TIME)))
        found = min_batch if min_batch <= MAX_BATCH else 0
        self._cache.put(self._key, found)
        return found
