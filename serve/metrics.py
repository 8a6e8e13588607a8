"""Prometheus metrics of the server."""

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
_RATE_WINDOW_S = 5.0


class ServerMetrics:
    """Counters, gauges and histograms of one server, in a registry of their own.

    The registry also has the `process_*` metrics: memory, open files and CPU of the process.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.frames = self._counter("frames", "Frames translated.")
        self.failed = self._counter("failed", "Frames whose translation failed.")
        self.dropped = self._counter(
            "dropped", "Frames replaced by a newer one before their translation."
        )
        self.sessions = Gauge("cgt_sessions", "Connected clients.", registry=self.registry)
        self.latency = self._histogram(
            "latency", "Seconds from the arrival of a frame to its translation."
        )
        self.translation_time = self._histogram(
            "translation", "Seconds that the translation itself took."
        )
        rate_gauge = Gauge(
            "cgt_frames_per_second",
            "Frames translated per second, over the last 5 seconds.",
            registry=self.registry,
        )
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
        """Count a finished job. Called by the thread of the scheduler."""
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
        """Return the frames translated per second, of all sessions together."""
        with self._lock:
            self._drop_old(time.perf_counter())
            return len(self._recent_times) / _RATE_WINDOW_S

    @property
    def frames_translated(self) -> int:
        """Number of frames translated for all clients."""
        return sum(
            int(sample.value)
            for metric in self.frames.collect()
            for sample in metric.samples
            if sample.name.endswith("_total")
        )

    def render(self) -> bytes:
        """Return the metrics in the Prometheus text format."""
        return generate_latest(self.registry)
