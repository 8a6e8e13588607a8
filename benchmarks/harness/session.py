"""Benchmark session: opens an engine, warms it up and measures it, in the calling process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from cgt.runtime.engines import Engine, open_engine
from cgt.runtime.models.third_party import ModelFormat
from cgt.runtime.utils.system import peak_memory_bytes

from .inputs import ModelInputs
from .reference_load import CpuUsageMonitor, ReferenceLoad
from .results import DeviceTimes, Round, SessionResult, ThroughputRun

WARM_UP_RUNS, WARM_UP_S = 3, 0.2  # the warm-up meets both minimums
ROUNDS_PER_SESSION = 4
MIN_RUNS_PER_ROUND = 2  # however long a run takes


@dataclass(frozen=True)
class BenchmarkJob:
    """One configuration to measure.

    Attributes:
        model: Model file.
        size: (height, width) of the tensor.
        engine: Engine name.
        precision: "auto", or "fp32" to keep the engine from using less.
        batch: Images per run.
        streams: Calls in flight for the throughput; empty for the engine's recommendation, None to
            measure the latency only.
        seconds: Duration of this session's latency measurement, and of each throughput.
        model_format: What the user says about a model of another tool.
    """

    model: Path
    size: tuple[int, int]
    engine: str = "auto"
    precision: str = "auto"
    batch: int = 1
    streams: tuple[int, ...] | None = ()
    seconds: float = 3.0
    model_format: ModelFormat | None = None

    def make_inputs(self) -> ModelInputs:
        """Return tensors to run the model on; each thread needs its own."""
        return ModelInputs(self.model, self.size, self.batch, self.model_format)


@dataclass(frozen=True)
class EngineInfo:
    """Properties that the opened engine reports."""

    engine: str
    device: str
    precision: str
    workers: int


class GpuTimings(Protocol):
    """Milliseconds of one run by device events; `enqueue_ms` is the host's time to submit it."""

    @property
    def h2d_ms(self) -> float: ...
    @property
    def compute_ms(self) -> float: ...
    @property
    def d2h_ms(self) -> float: ...
    @property
    def enqueue_ms(self) -> float: ...


@runtime_checkable
class DeviceEngine(Protocol):
    """An engine on a device with its own memory that can time the steps of a run."""

    cuda_graph: bool

    def infer_timed(self, *arrays: Any) -> GpuTimings:
        """Run once and return the times of the steps."""


OpenEngineFn = Callable[..., Engine]


def measure_session(
    job: BenchmarkJob, opener: OpenEngineFn = open_engine
) -> tuple[EngineInfo, SessionResult]:
    """Measure one session of a job.

    Args:
        job: What to measure.
        opener: Opens the engine; a test passes its own.

    Returns:
        What the engine reports, and the measurements.

    Raises:
        CgtError: The engine cannot be opened or a run fails.
    """
    before = peak_memory_bytes()
    started = time.perf_counter()
    precision = "fp32" if job.precision == "fp32" else None
    inputs = job.make_inputs()
    with opener(job.model, inputs.shape, job.engine, "latency", precision) as engine:
        inputs.infer(engine)
        cold_start = time.perf_counter() - started
        rounds = _measure_latency(engine, job, started)
        device_times = _measure_device_times(engine, job)
        single_stream = [measure_throughput(engine, job, 1)] if 1 in (job.streams or ()) else []
        engine_info = EngineInfo(engine.name, engine.device, engine.precision, engine.workers)
    if job.streams is None:
        return engine_info, SessionResult(
            cold_start, peak_memory_bytes(), before, tuple(rounds), (), device_times
        )
    with opener(job.model, inputs.shape, job.engine, "throughput", precision) as engine:
        engine_info = replace(engine_info, workers=engine.workers)
        stream_counts = {
            min(streams, engine.workers) for streams in job.streams or (engine.workers,)
        }
        multi_stream = [
            measure_throughput(engine, job, streams) for streams in sorted(stream_counts - {1})
        ]
        if 1 in stream_counts and not single_stream:  # the engine takes one call at a time
            single_stream = [measure_throughput(engine, job, 1)]
    throughput_runs = (*single_stream, *multi_stream)
    return engine_info, SessionResult(
        cold_start, peak_memory_bytes(), before, tuple(rounds), throughput_runs, device_times
    )


def _warm_up(engine: Engine, inputs: ModelInputs) -> None:
    end = time.perf_counter() + WARM_UP_S
    runs = 0
    while runs < WARM_UP_RUNS or time.perf_counter() < end:
        inputs.infer(engine)
        runs += 1


def _measure_latency(engine: Engine, job: BenchmarkJob, session_start: float) -> list[Round]:
    inputs, reference_load = job.make_inputs(), ReferenceLoad()
    _warm_up(engine, inputs)
    reference_load()
    rounds = []
    for _ in range(ROUNDS_PER_SESSION):
        reference_ms = reference_load()
        inputs.infer(engine)  # restore what the reference workload evicted from the caches
        cpu_monitor, round_start = CpuUsageMonitor(), time.perf_counter()
        samples: list[float] = []
        end = round_start + job.seconds / ROUNDS_PER_SESSION
        while (started := time.perf_counter()) < end or len(samples) < MIN_RUNS_PER_ROUND:
            inputs.infer(engine)
            samples.append((time.perf_counter() - started) * 1e3)
        rounds.append(
            Round(
                round_start - session_start,
                tuple(samples),
                reference_ms,
                *cpu_monitor.other_load_and_steal(),
            )
        )
    return rounds


def measure_throughput(engine: Engine, job: BenchmarkJob, streams: int) -> ThroughputRun:
    """Measure the throughput with `streams` calls in flight.

    The rates of the threads are added, so that no thread is charged for another's last frame.
    """
    ready = threading.Barrier(streams)
    rates = [0.0] * streams
    samples: list[list[float]] = [[] for _ in range(streams)]
    errors: list[BaseException] = []

    def work(index: int) -> None:
        try:
            inputs = job.make_inputs()
            _warm_up(engine, inputs)
            ready.wait()
            began = started = time.perf_counter()
            while started - began < job.seconds or len(samples[index]) < MIN_RUNS_PER_ROUND:
                inputs.infer(engine)
                ended = time.perf_counter()
                samples[index].append((ended - started) * 1e3)
                started = ended
            rates[index] = len(samples[index]) * job.batch / (started - began)
        except BaseException as error:  # raised again below
            errors.append(error)
            ready.abort()

    cpu_monitor = CpuUsageMonitor()
    threads = [threading.Thread(target=work, args=(index,)) for index in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        if not isinstance(error, threading.BrokenBarrierError):
            raise error
    calls = tuple(ms for thread_samples in samples for ms in thread_samples)
    return ThroughputRun(streams, sum(rates), calls, cpu_monitor.other_load_and_steal()[0])


def _measure_device_times(engine: Engine, job: BenchmarkJob) -> DeviceTimes | None:
    if not isinstance(engine, DeviceEngine):
        return None
    inputs = job.make_inputs()
    end = time.perf_counter() + min(job.seconds, 1.0)
    times: list[GpuTimings] = []
    while time.perf_counter() < end or len(times) < MIN_RUNS_PER_ROUND:
        times.append(engine.infer_timed(*inputs.arrays))
    return DeviceTimes(
        tuple(t.h2d_ms for t in times),
        tuple(t.compute_ms for t in times),
        tuple(t.d2h_ms for t in times),
        tuple(t.enqueue_ms for t in times),
        engine.cuda_graph,
        getattr(engine, "spin_wait", "the driver's choice"),
    )
