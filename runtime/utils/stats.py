"""Where the time goes: a histogram per stage, of fixed size however long the stream."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ..inference.translator import BatchTiming

STAGES = ("decode", "preprocess", "inference", "postprocess", "encode", "latency")
"""latency: from a frame's arrival to its translation being written."""


class DurationHistogram:
    """Durations in logarithmic buckets of 1 %, from a microsecond to a quarter of an hour."""

    _MIN_SECONDS, _BUCKET_RATIO, _N_BUCKETS = 1e-6, 1.01, 2100

    def __init__(self) -> None:
        self.counts = np.zeros(self._N_BUCKETS, np.int64)
        self.max_seconds = 0.0

    def add(self, seconds: float) -> None:
        bucket = int(math.log(max(seconds / self._MIN_SECONDS, 1.0)) / math.log(self._BUCKET_RATIO))
        self.counts[min(bucket, self._N_BUCKETS - 1)] += 1
        self.max_seconds = max(self.max_seconds, seconds)

    def percentile(self, q: float) -> float:
        """Seconds below which q percent lie, within 1 %; 0 when nothing was added."""
        total = int(self.counts.sum())
        if total == 0:
            return 0.0
        rank = max(1, math.ceil(total * q / 100))
        bucket = int(np.searchsorted(np.cumsum(self.counts), rank))
        return float(self._MIN_SECONDS * self._BUCKET_RATIO ** (bucket + 0.5))


@dataclass
class Stats:
    """What one run did. Times come from time.perf_counter."""

    stages: dict[str, DurationHistogram] = field(
        default_factory=lambda: {stage: DurationHistogram() for stage in STAGES}
    )
    frames: int = 0
    dropped: int = 0  # live frames that a newer one took the place of
    skipped: int = 0  # left out for --max-fps
    started_at: float = 0.0  # when the first frame was asked for
    last_output_at: float = 0.0  # when the last was written
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        self.started_at = self.last_output_at = time.perf_counter()

    def add_time(self, stage: str, seconds: float) -> None:
        with self._lock:
            self.stages[stage].add(seconds)

    def add_batch(self, timing: BatchTiming) -> None:
        """What a batch took, as so many frames of equal shares."""
        for stage in ("preprocess", "inference", "postprocess"):
            for _ in range(timing.count):
                self.add_time(stage, getattr(timing, stage) / timing.count)

    def add_output_frame(self, captured: float) -> None:
        """One more frame has left; `captured` is when it came."""
        self.last_output_at = time.perf_counter()
        self.frames += 1
        self.add_time("latency", self.last_output_at - captured)

    @property
    def seconds(self) -> float:
        return self.last_output_at - self.started_at

    @property
    def fps(self) -> float:
        return self.frames / self.seconds if self.seconds > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """Counts, seconds, and percentiles of each stage in milliseconds."""
        return {
            "frames": self.frames,
            "dropped": self.dropped,
            "skipped": self.skipped,
            "seconds": round(self.seconds, 3),
            "fps": round(self.fps, 3),
            "latency_ms": _summarize(self.stages["latency"]),
            "stages_ms": {name: _summarize(stage) for name, stage in self.stages.items()},
        }


def _summarize(stage: DurationHistogram) -> dict[str, float]:
    percentiles = {f"p{q}": round(stage.percentile(q) * 1e3, 3) for q in (50, 90, 95, 99)}
    return percentiles | {
        "max": round(stage.max_seconds * 1e3, 3),
        "count": int(stage.counts.sum()),
    }
