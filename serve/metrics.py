"""Figures for Prometheus, of one server."""

from __future__ import annotations

import threading
import time
from collections import deque

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from .scheduling.scheduler import TranslationJob

_LATENCY_BUCKETS_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0)
_RATE_WINDOW_S = 5.0  # seconds that frames per second are counted over


class ServerMetrics:
    """In a registry of its own; `process_*` (memory, open files, CPU) are the process's."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.frames = self._counter("frames", "Pictures translated.")
        self.failed = self._counter("failed", "Pictures whose translation failed.")
        self.dropped = self._counter("dropped", "Pictures that a newer one took the place of.")
        self.sessions = Gauge("cgt_sessions", "Clients that are here.", registry=self.registry)
        self.latency = self._histogram("latency", "From a picture's arrival to its translation.")
        self.translation_time = self._histogram("translation", "Of that, its translation.")
        rate_gauge = Gauge("cgt_frames_per_second", "Of the last seconds.", registry=self.registry)
        rate_gauge.set_function(self.frames_per_second)
        self._recent_times: deque[float] = deque()
        self._lock = threading.Lock()

    def _counter(self, name: str, help: str) -> Counter:
        return Counter(f"cgt_{name}", help, registry=self.registry)

    def _histogram(self, name: str, help: str) -> Histogram:
        return Histogram(
            f"cgt_{name}_seconds", help, buckets=_LATENCY_BUCKETS_S, registry=self.registry
        )

    def record(self, job: TranslationJob) -> None:
        """One more is done. The scheduler's thread."""
        if job.error is not None:
            self.failed.inc()
            return
        self.frames.inc()
        self.latency.observe(job.finished_at - job.submitted_at)
        self.translation_time.observe(job.finished_at - job.started_at)
        with self._lock:
            self._recent_times.append(job.finished_at)
            self._drop_old(job.finished_at)

    def _drop_old(self, now: float) -> None:
        while self._recent_times and self._recent_times[0] < now - _RATE_WINDOW_S:
            self._recent_times.popleft()

    def frames_per_second(self) -> float:
        """Frames per second, of all sessions together."""
        with self._lock:
            self._drop_old(time.perf_counter())
            return len(self._recent_times) / _RATE_WINDOW_S

    @property
    def frames_translated(self) -> int:
        """Pictures, of all clients."""
        return sum(
            int(sample.value)
            for metric in self.frames.collect()
            for sample in metric.samples
            if sample.name.endswith("_total")
        )

    def render(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)
