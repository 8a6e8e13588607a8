"""One session: an engine opened, warmed up and timed, in the process that calls this."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from cgt.runtime.engines import Engine, open_engine

from .feed import Feed
from .memory import peak_rss
from .results import DeviceTimes, Overlap, Round, Session
from .yardstick import Cores, Yardstick

WARM_UP_RUNS, WARM_UP_SECONDS = 3, 0.2  # both at least
ROUNDS = 4  # per session
LEAST_RUNS = 2  # per round, however long one takes


@dataclass(frozen=True)
class Job:
    """What to measure. seconds: of this session's latency, and again of each throughput."""

    model: Path
    size: tuple[int, int]
    engine: str = "auto"
    precision: str = "auto"
    batch: int = 1
    streams: (
        tuple[int, ...] | None
    ) = ()  # empty: as many as the engine recommends; None: no overlap
    seconds: float = 3.0

    def feed(self) -> Feed:
        """Tensors to run the model on; each thread needs its own."""
        return Feed(self.model, self.size, self.batch)


@dataclass(frozen=True)
class Opened:
    """What the engine says of itself."""

    engine: str
    device: str
    precision: str
    workers: int


class Spans(Protocol):
    """Milliseconds of one run, by the device's own events; enqueue: the host's, to ask for it."""

    @property
    def to_device(self) -> float: ...
    @property
    def compute(self) -> float: ...
    @property
    def to_host(self) -> float: ...
    @property
    def enqueue(self) -> float: ...


@runtime_checkable
class DeviceEngine(Protocol):
    """An engine on a device with its own memory, which says where a run's time goes."""

    cuda_graph: bool

    def spans(self, *arrays: Any) -> Spans:
        """`infer`, step by step."""


Opener = Callable[..., Engine]


def measure(job: Job, opener: Opener = open_engine) -> tuple[Opened, Session]:
    """Raises the errors of `open_engine` and EngineError."""
    before = peak_rss()
    began = time.perf_counter()
    precision = "fp32" if job.precision == "fp32" else None
    feed = job.feed()
    with opener(job.model, feed.shape, job.engine, "latency", precision) as engine:
        feed.run(engine)
        cold_start = time.perf_counter() - began
        rounds = _latency(engine, job, began)
        device_times = _device_times(engine, job)
        alone = [overlap(engine, job, 1)] if 1 in (job.streams or ()) else []
        opened = Opened(engine.name, engine.device, engine.precision, engine.workers)
    if job.streams is None:
        return opened, Session(cold_start, peak_rss(), before, tuple(rounds), (), device_times)
    with opener(job.model, feed.shape, job.engine, "throughput", precision) as engine:
        opened = replace(opened, workers=engine.workers)
        asked = {min(streams, engine.workers) for streams in job.streams or (engine.workers,)}
        together = [overlap(engine, job, streams) for streams in sorted(asked - {1})]
        if 1 in asked and not alone:  # all that this engine takes at once
            alone = [overlap(engine, job, 1)]
    overlaps = (*alone, *together)
    return opened, Session(cold_start, peak_rss(), before, tuple(rounds), overlaps, device_times)


def _warm_up(engine: Engine, feed: Feed) -> None:
    end = time.perf_counter() + WARM_UP_SECONDS
    runs = 0
    while runs < WARM_UP_RUNS or time.perf_counter() < end:
        feed.run(engine)
        runs += 1


def _latency(engine: Engine, job: Job, began: float) -> list[Round]:
    feed, yardstick = job.feed(), Yardstick()
    _warm_up(engine, feed)
    yardstick()
    rounds = []
    for _ in range(ROUNDS):
        speed = yardstick()
        feed.run(engine)  # what the yardstick pushed out of the caches comes back
        cores, at = Cores(), time.perf_counter()
        samples: list[float] = []
        end = at + job.seconds / ROUNDS
        while (started := time.perf_counter()) < end or len(samples) < LEAST_RUNS:
            feed.run(engine)
            samples.append((time.perf_counter() - started) * 1e3)
        rounds.append(Round(at - began, tuple(samples), speed, *cores.shares()))
    return rounds


def overlap(engine: Engine, job: Job, streams: int) -> Overlap:
    """Throughput with that many calls in flight. Each thread's own rate, added up: no thread is
    charged for another's last frame."""
    ready = threading.Barrier(streams)
    rates = [0.0] * streams
    samples: list[list[float]] = [[] for _ in range(streams)]
    failed: list[BaseException] = []

    def work(index: int) -> None:
        try:
            feed = job.feed()
            _warm_up(engine, feed)
            ready.wait()
            began = started = time.perf_counter()
            while started - began < job.seconds or len(samples[index]) < LEAST_RUNS:
                feed.run(engine)
                ended = time.perf_counter()
                samples[index].append((ended - started) * 1e3)
                started = ended
            rates[index] = len(samples[index]) * job.batch / (started - began)
        except BaseException as error:  # raised again below
            failed.append(error)
            ready.abort()

    cores = Cores()
    threads = [threading.Thread(target=work, args=(index,)) for index in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in failed:
        if not isinstance(error, threading.BrokenBarrierError):
            raise error
    calls = tuple(ms for part in samples for ms in part)
    return Overlap(streams, sum(rates), calls, cores.shares()[0])


def _device_times(engine: Engine, job: Job) -> DeviceTimes | None:
    if not isinstance(engine, DeviceEngine):
        return None
    feed = job.feed()
    end = time.perf_counter() + min(job.seconds, 1.0)
    times: list[Spans] = []
    while time.perf_counter() < end or len(times) < LEAST_RUNS:
        times.append(engine.spans(*feed.arrays))
    return DeviceTimes(
        tuple(t.to_device for t in times),
        tuple(t.compute for t in times),
        tuple(t.to_host for t in times),
        tuple(t.enqueue for t in times),
        engine.cuda_graph,
        getattr(engine, "spin_wait", "the driver's choice"),
    )
