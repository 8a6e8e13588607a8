"""Statistics of a run: frame counts and a histogram of durations per pipeline stage.

The histograms have a fixed size, so memory does not grow with the length of a stream.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CgtError, SourceError

if TYPE_CHECKING:
    from ..inference.translator import BatchTiming

STAGES = ("decode", "preprocess", "inference", "postprocess", "upsample", "encode", "latency")
"""`upsample` replaces `postprocess` where the output has another size than that of the network.
`latency` is the time from the arrival of a frame to the end of writing its translation."""


class DurationHistogram:
    """Histogram of durations in logarithmic buckets of 1 %, from 1 us to about 20 minutes."""

    _MIN_SECONDS, _BUCKET_RATIO, _N_BUCKETS = 1e-6, 1.01, 2100

    def __init__(self) -> None:
        self.counts = np.zeros(self._N_BUCKETS, np.int64)
        self.max_seconds = 0.0

    def add(self, seconds: float) -> None:
        bucket = int(math.log(max(seconds / self._MIN_SECONDS, 1.0)) / math.log(self._BUCKET_RATIO))
        self.counts[min(bucket, self._N_BUCKETS - 1)] += 1
        self.max_seconds = max(self.max_seconds, seconds)

    def percentile(self, q: float) -> float:
        """Return the q-th percentile in seconds, within 1 %; 0 for an empty histogram."""
        total = int(self.counts.sum())
        if total == 0:
            return 0.0
        rank = max(1, math.ceil(total * q / 100))
        bucket = int(np.searchsorted(np.cumsum(self.counts), rank))
        middle = self._MIN_SECONDS * self._BUCKET_RATIO ** (bucket + 0.5)
        return float(min(middle, self.max_seconds))


@dataclass
class Stats:
    """Counts and timings of one run, filled while it runs.

    Attributes:
        stages: histogram of the durations of each of STAGES.
        frames: frames that were written.
        dropped: frames of a live source that a newer frame replaced.
        skipped: frames that `max_fps` left out.
        failures: why images of a folder have no translation, in their order.
        started_at: time.perf_counter when the first frame was requested.
        last_output_at: time.perf_counter when the last frame was written.
    """

    stages: dict[str, DurationHistogram] = field(
        default_factory=lambda: {stage: DurationHistogram() for stage in STAGES}
    )
    frames: int = 0
    dropped: int = 0
    skipped: int = 0
    failures: list[CgtError] = field(default_factory=list)
    started_at: float = 0.0
    last_output_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Start the clock."""
        self.started_at = self.last_output_at = time.perf_counter()

    def add_time(self, stage: str, seconds: float) -> None:
        """Add one duration; any thread may call this."""
        with self._lock:
            self.stages[stage].add(seconds)

    def add_batch(self, timing: BatchTiming) -> None:
        """Add the durations of a batch, in equal shares for each of its frames."""
        for stage in ("preprocess", "inference", "postprocess", "upsample"):
            seconds = getattr(timing, stage)
            for _ in range(timing.count if seconds is not None else 0):
                self.add_time(stage, seconds / timing.count)

    def add_output_frame(self, captured: float) -> None:
        """Count a written frame; `captured` is its arrival on time.perf_counter."""
        self.last_output_at = time.perf_counter()
        self.frames += 1
        self.add_time("latency", self.last_output_at - captured)

    def raise_failures(self) -> None:
        """Raise the error of an image that failed, or SourceError where there were more images."""
        if not self.failures:
            return
        total = self.frames + len(self.failures)
        if total == 1:
            raise self.failures[0]
        raise SourceError(
            f"{len(self.failures)} of {total} images failed; the first: {self.failures[0]}"
        )

    @property
    def seconds(self) -> float:
        """Time from the request for the first frame to the last output."""
        return self.last_output_at - self.started_at

    @property
    def fps(self) -> float:
        """Written frames per second."""
        return self.frames / self.seconds if self.seconds > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return counts, seconds, and percentiles of each stage in milliseconds."""
        return {
            "frames": self.frames,
            "dropped": self.dropped,
            "skipped": self.skipped,
            "failed": [str(error) for error in self.failures],
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
