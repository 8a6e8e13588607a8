"""What the machine reaches at best: multiply-adds through an engine, bytes by copying."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cgt.runtime.engines import BatchShape, Engine, available_cpus, open_engine

from .peak_models import make_conv_model
from .session import DeviceEngine

MEASURE_S = 0.4  # of each measurement
# (channels, side, kernel): large enough to fill the machine; 1x1 is a plain matrix product.
CONV_SHAPES = ((1024, 32, 1), (256, 64, 3), (512, 32, 3))
COPY_SIZES_BYTES = tuple(1 << shift for shift in (20, 22, 24, 26, 28))  # bytes read and written


@dataclass(frozen=True)
class ComputePeak:
    """The fastest multiply-adds per second, and in which precision they were."""

    macs_per_second: float
    precision: str
    shape: str


def measure_compute_peak(engine: str, requested_precision: str, file_precision: str) -> ComputePeak:
    """engine, asked: as in session.Job; graph: the precision of the file ("fp32", "fp16", "int8").

    Raises MissingDependency without onnx, and the errors of `open_engine`.
    """
    peaks_found = []
    with tempfile.TemporaryDirectory(prefix="cgt-bench-") as folder:
        for channels, side, kernel in CONV_SHAPES:
            path = Path(folder) / f"{channels}-{kernel}.onnx"
            path.write_bytes(make_conv_model(channels, kernel, file_precision))
            shape = BatchShape(1, channels, side, side)
            precision = "fp32" if requested_precision == "fp32" else None
            with open_engine(path, shape, engine, "latency", precision) as runner:
                rate = (channels * kernel * side) ** 2 / _fastest_time(_conv_timer(runner, shape))
                name = f"{kernel}x{kernel}, {channels} channels, {side}x{side}"
                peaks_found.append(ComputePeak(rate, runner.precision, name))
    return max(peaks_found, key=lambda peak: peak.macs_per_second)


def _conv_timer(engine: Engine, shape: BatchShape) -> Callable[[], float]:
    """Seconds of one run; on a device, of its computing alone."""
    batch = np.random.default_rng(0).uniform(-1, 1, shape.image_shape).astype(np.float32)
    out = np.empty_like(batch)
    if isinstance(engine, DeviceEngine):
        device = engine
        return lambda: device.infer_timed(batch, out).compute_ms / 1e3
    return _make_timer(lambda: engine.infer(batch, out))


def measure_copy_bandwidths() -> dict[int, float]:
    """Bytes per second, read and written, by the bytes that are moved: caches are faster than
    memory. All cores copy, each its own part."""
    with ThreadPoolExecutor(available_cpus()) as pool:
        return {
            moved: moved / _fastest_time(_copy_timer(pool, moved)) for moved in COPY_SIZES_BYTES
        }


def _copy_timer(pool: ThreadPoolExecutor, num_bytes: int) -> Callable[[], float]:
    """Seconds of one copy that moves as much; small ones are repeated, for the pool takes time."""
    count = available_cpus()
    repeats = max(1, (1 << 24) // num_bytes)
    sources = [np.zeros(num_bytes // 2 // count, np.uint8) for _ in range(count)]
    targets = [np.empty_like(source) for source in sources]

    def work(index: int) -> None:
        for _ in range(repeats):
            np.copyto(targets[index], sources[index])

    run = _make_timer(lambda: list(pool.map(work, range(count))))
    return lambda: run() / repeats


def _make_timer(run: Callable[[], object]) -> Callable[[], float]:
    def seconds() -> float:
        started = time.perf_counter()
        run()
        return time.perf_counter() - started

    return seconds


def _fastest_time(seconds: Callable[[], float]) -> float:
    """A peak is what the machine can do when nothing disturbs it."""
    end = time.perf_counter() + MEASURE_S
    best, runs = seconds(), 1
    while runs < 5 or time.perf_counter() < end:
        best = min(best, seconds())
        runs += 1
    return best
