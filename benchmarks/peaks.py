"""What the machine reaches at best: multiply-adds through an engine, bytes by copying."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cgt.runtime.engines import BatchShape, Engine, cores, open_engine

from .peak_models import conv_model
from .session import DeviceEngine

SECONDS = 0.4  # of each measurement
# (channels, side, kernel): large enough to fill the machine; 1x1 is a plain matrix product.
SHAPES = ((1024, 32, 1), (256, 64, 3), (512, 32, 3))
COPIES = tuple(1 << shift for shift in (20, 22, 24, 26, 28))  # bytes read and written


@dataclass(frozen=True)
class Compute:
    """The fastest multiply-adds per second, and in which precision they were."""

    macs_per_second: float
    precision: str
    shape: str


def compute_peak(engine: str, asked: str, graph: str) -> Compute:
    """engine, asked: as in session.Job; graph: the precision of the file ("fp32", "fp16", "int8").

    Raises MissingDependency without onnx, and the errors of `open_engine`.
    """
    found = []
    with tempfile.TemporaryDirectory(prefix="cgt-bench-") as folder:
        for channels, side, kernel in SHAPES:
            path = Path(folder) / f"{channels}-{kernel}.onnx"
            path.write_bytes(conv_model(channels, kernel, graph))
            shape = BatchShape(1, channels, side, side)
            precision = "fp32" if asked == "fp32" else None
            with open_engine(path, shape, engine, "latency", precision) as runner:
                rate = (channels * kernel * side) ** 2 / _fastest(_run_of(runner, shape))
                name = f"{kernel}x{kernel}, {channels} channels, {side}x{side}"
                found.append(Compute(rate, runner.precision, name))
    return max(found, key=lambda peak: peak.macs_per_second)


def _run_of(engine: Engine, shape: BatchShape) -> Callable[[], float]:
    """Seconds of one run; on a device, of its computing alone."""
    batch = np.random.default_rng(0).uniform(-1, 1, shape.image).astype(np.float32)
    out = np.empty_like(batch)
    if isinstance(engine, DeviceEngine):
        device = engine
        return lambda: device.spans(batch, out).compute / 1e3
    return _timed(lambda: engine.infer(batch, out))


def copy_peaks() -> dict[int, float]:
    """Bytes per second, read and written, by the bytes that are moved: caches are faster than
    memory. All cores copy, each its own part."""
    with ThreadPoolExecutor(cores()) as pool:
        return {moved: moved / _fastest(_copies(pool, moved)) for moved in COPIES}


def _copies(pool: ThreadPoolExecutor, moved: int) -> Callable[[], float]:
    """Seconds of one copy that moves as much; small ones are repeated, for the pool takes time."""
    count = cores()
    repeats = max(1, (1 << 24) // moved)
    sources = [np.zeros(moved // 2 // count, np.uint8) for _ in range(count)]
    targets = [np.empty_like(source) for source in sources]

    def work(index: int) -> None:
        for _ in range(repeats):
            np.copyto(targets[index], sources[index])

    run = _timed(lambda: list(pool.map(work, range(count))))
    return lambda: run() / repeats


def _timed(run: Callable[[], object]) -> Callable[[], float]:
    def seconds() -> float:
        started = time.perf_counter()
        run()
        return time.perf_counter() - started

    return seconds


def _fastest(seconds: Callable[[], float]) -> float:
    """A peak is what the machine can do when nothing disturbs it."""
    end = time.perf_counter() + SECONDS
    best, runs = seconds(), 1
    while runs < 5 or time.perf_counter() < end:
        best = min(best, seconds())
        runs += 1
    return best
