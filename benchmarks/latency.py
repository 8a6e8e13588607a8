"""Latency and throughput of a model on an engine, without any video around it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cgt.runtime.engines import BatchShape, Engine, open_engine
from cgt.runtime.preprocess import F32

WARM_UP = 5  # runs that are not counted


@dataclass(frozen=True)
class Latency:
    """Milliseconds of single runs with all cores on each; frames/s with `workers` in flight."""

    engine: str
    device: str
    precision: str
    size: tuple[int, int]
    samples: tuple[float, ...]
    frames_per_second: float
    workers: int
    cold_start: float  # seconds from nothing to the first result

    def percentile(self, q: float) -> float:
        """Milliseconds."""
        return float(np.percentile(self.samples, q))

    @property
    def variation(self) -> float:
        """Standard deviation by mean."""
        return float(np.std(self.samples) / np.mean(self.samples))


def measure(path: Path, size: tuple[int, int], engine: str = "auto", seconds: float = 3) -> Latency:
    """size: height, width. Each of the two measurements takes `seconds`."""
    shape = BatchShape(1, 3, *size)
    began = time.perf_counter()
    with open_engine(path, shape, engine, "latency") as runner:
        batch, out = _tensors(size)
        runner.infer(batch, out)
        cold_start = time.perf_counter() - began
        samples = _single(runner, seconds, size)
    with open_engine(path, shape, engine, "throughput") as runner:
        rate = _together(runner, seconds, size)
        return Latency(
            runner.name,
            runner.device,
            runner.precision,
            size,
            tuple(samples),
            rate,
            runner.workers,
            cold_start,
        )


def _tensors(size: tuple[int, int]) -> tuple[F32, F32]:
    batch = np.random.default_rng(0).uniform(-1, 1, (1, 3, *size)).astype(np.float32)
    return batch, np.empty_like(batch)


def _single(engine: Engine, seconds: float, size: tuple[int, int]) -> list[float]:
    batch, out = _tensors(size)
    for _ in range(WARM_UP):
        engine.infer(batch, out)
    samples: list[float] = []
    end = time.perf_counter() + seconds
    while (started := time.perf_counter()) < end or len(samples) < 3:
        engine.infer(batch, out)
        samples.append((time.perf_counter() - started) * 1e3)
    return samples


def _together(engine: Engine, seconds: float, size: tuple[int, int]) -> float:
    """Frames per second of all workers, over the time in which all of them worked."""
    counts = [0] * engine.workers
    ready = threading.Barrier(engine.workers + 1)
    stop = threading.Event()

    def work(index: int) -> None:
        batch, out = _tensors(size)
        for _ in range(WARM_UP):
            engine.infer(batch, out)
        ready.wait()
        while not stop.is_set():
            engine.infer(batch, out)
            counts[index] += 1

    threads = [threading.Thread(target=work, args=(i,)) for i in range(engine.workers)]
    for thread in threads:
        thread.start()
    ready.wait()
    started = time.perf_counter()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - started)
