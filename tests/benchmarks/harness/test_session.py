"""Benchmark sessions: runs that are recorded, calls in flight, device times, errors."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cgt.benchmarks.harness.reference_load import CpuUsageMonitor, ReferenceLoad
from cgt.benchmarks.harness.runner import make_jobs, run_jobs
from cgt.benchmarks.harness.session import (
    MIN_RUNS_PER_ROUND,
    ROUNDS_PER_SESSION,
    BenchmarkJob,
    measure_session,
)
from cgt.benchmarks.harness.worker import run_session
from cgt.runtime.engines import Engine
from cgt.runtime.errors import CgtError, EngineError, ModelError, UsageError
from cgt.runtime.inference.translator import DEFAULT_MODEL


class FakeEngine(Engine):
    """An engine that sleeps and counts how many calls were in flight."""

    name, device, precision, workers = "fake", "CPU", "fp32", 3

    def __init__(self, *arguments: Any, seconds: float = 0.001, fail_at: int = -1) -> None:
        self.performance_hint = arguments[3] if len(arguments) > 3 else ""
        self.seconds, self.fail_at = seconds, fail_at
        self.calls = self.max_in_flight = self._in_flight = 0
        self.closed = False
        self._lock = threading.Lock()

    def infer(self, *arrays: Any) -> None:
        with self._lock:
            self.calls += 1
            self._in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self._in_flight)
            if self.calls == self.fail_at:
                raise EngineError("the fake engine broke")
        time.sleep(self.seconds)
        arrays[1][...] = arrays[0]
        with self._lock:
            self._in_flight -= 1

    def close(self) -> None:
        self.closed = True


class SimulatedDevice(FakeEngine):
    """A simulated GPU that reports 3 ms to copy in, 2 to compute, 1 to copy out, 4 to enqueue."""

    device, workers = "simulated", 1
    cuda_graph = True

    def infer_timed(self, *arrays: Any) -> SimpleNamespace:
        self.infer(*arrays)
        return SimpleNamespace(h2d_ms=3.0, compute_ms=2.0, d2h_ms=1.0, enqueue_ms=4.0)


class EngineOpener:
    """Opens fake engines and keeps them for inspection."""

    def __init__(self, kind: type[Any], **settings: Any) -> None:
        self.kind, self.settings, self.opened = kind, settings, []

    def __call__(self, *arguments: Any) -> Any:
        self.opened.append(self.kind(*arguments, **self.settings))
        return self.opened[-1]


JOB = BenchmarkJob(DEFAULT_MODEL, (32, 32), seconds=0.02)


def test_every_run_is_recorded() -> None:
    opener = EngineOpener(FakeEngine)
    engine_info, session = measure_session(replace(JOB, streams=None), opener)
    assert (engine_info.engine, engine_info.device, engine_info.workers) == ("fake", "CPU", 3)
    assert len(session.rounds) == ROUNDS_PER_SESSION
    for found in session.rounds:
        assert len(found.ms) >= MIN_RUNS_PER_ROUND
        assert all(ms >= 1.0 for ms in found.ms), "the engine sleeps for a millisecond"
        assert found.reference_load_ms > 0
    assert [r.at for r in session.rounds] == sorted(r.at for r in session.rounds)
    assert session.throughput_runs == ()
    assert 0 < session.rss_before <= session.rss
    assert [engine.closed for engine in opener.opened] == [True]


@pytest.mark.parametrize(
    ("streams", "measured"), [((), [3]), ((1, 2), [1, 2]), ((8,), [3]), ((1,), [1])]
)
def test_requested_number_of_calls_is_in_flight(
    streams: tuple[int, ...], measured: list[int]
) -> None:
    """The engine's number of workers is the upper limit."""
    opener = EngineOpener(FakeEngine)
    _, session = measure_session(replace(JOB, streams=streams), opener)
    assert [run.streams for run in session.throughput_runs] == measured
    latency, throughput = opener.opened
    assert (latency.performance_hint, throughput.performance_hint) == ("latency", "throughput")
    assert latency.max_in_flight == 1
    if measured[-1] > 1:
        assert throughput.max_in_flight == measured[-1]
    for run in session.throughput_runs:
        calls_per_second = 1e3 / (sum(run.ms) / len(run.ms))
        assert run.fps == pytest.approx(run.streams * calls_per_second, rel=0.2)


def test_batch_counts_as_its_images() -> None:
    opener = EngineOpener(FakeEngine)
    _, session = measure_session(replace(JOB, batch=4, streams=(1,)), opener)
    (run,) = session.throughput_runs
    calls_per_second = 1e3 / (sum(run.ms) / len(run.ms))
    assert run.fps == pytest.approx(4 * calls_per_second, rel=0.1)


def test_device_times_are_recorded() -> None:
    """Uses a simulated device."""
    _, session = measure_session(replace(JOB, streams=None), EngineOpener(SimulatedDevice))
    times = session.device_times
    assert times is not None
    assert (times.h2d[0], times.compute[0], times.d2h[0], times.enqueue[0]) == (3, 2, 1, 4)
    assert (times.cuda_graph, times.spin_wait) == (True, "the driver's choice")


@pytest.mark.parametrize("call", [1, 5])
def test_failing_engine_raises(call: int) -> None:
    with pytest.raises(EngineError, match="broke"):
        measure_session(JOB, EngineOpener(FakeEngine, fail_at=call))


def test_engine_that_fails_in_a_thread_raises() -> None:
    class FailsInThreads(FakeEngine):
        def infer(self, *arrays: Any) -> None:
            if self.performance_hint == "throughput" and self.calls > 5:
                raise EngineError("fails in threads")
            super().infer(*arrays)

    with pytest.raises(EngineError, match="fails in threads"):
        measure_session(JOB, EngineOpener(FailsInThreads))


def test_worker_process_measures_and_returns_errors(tiny_model: Path, tmp_path: Path) -> None:
    exact = replace(JOB, model=tiny_model, engine="openvino", precision="fp32")
    engine_info, session = run_session(exact)
    assert engine_info.precision == "fp32"
    assert session.cold_start > 0
    with pytest.raises(ModelError, match="missing"):
        run_session(replace(JOB, model=tmp_path / "none.onnx"))
    with pytest.raises(UsageError, match="warp"):
        run_session(replace(JOB, engine="warp"))
    dead = (sys.executable, "-c", "raise SystemExit('out of memory')")
    with pytest.raises(EngineError, match="out of memory"):
        run_session(JOB, dead)


def test_sessions_of_configurations_are_interleaved() -> None:
    messages: list[str] = []
    failed: dict[BenchmarkJob, CgtError] = {}
    jobs = [replace(JOB, engine="openvino", streams=None), replace(JOB, engine="warp")]
    results = run_jobs(jobs, 2, messages.append, failed=failed)
    assert [line.split()[1] for line in messages] == ["openvino", "warp", "openvino", "warp"]
    assert [(r.engine, len(r.sessions)) for r in results] == [("openvino", 2)]
    assert list(failed) == [jobs[1]]


def test_every_combination_gives_one_job() -> None:
    jobs = make_jobs([DEFAULT_MODEL], ["a", "b"], ["auto"], [(64, 64), (64, 64)], [1, 2], [1], 3.0)
    assert len(jobs) == 4
    with pytest.raises(UsageError, match="source"):
        make_jobs([DEFAULT_MODEL], ["a"], ["auto"], ["source"], [1], [], 3.0)


def test_other_load_and_steal_time(tmp_path: Path) -> None:
    """Simulate /proc/stat: half of the ticks idle, a quarter other programs, a quarter steal."""
    stat = tmp_path / "stat"
    stat.write_text("cpu 100 0 0 100 0 0 0 100 0 0\n")
    monitor = CpuUsageMonitor(stat)
    stat.write_text("cpu 100100 0 0 200100 0 0 0 100100 0 0\n")
    other_load, steal = monitor.other_load_and_steal()
    assert other_load == pytest.approx(0.5, abs=0.01)
    assert steal == pytest.approx(0.25, abs=0.01)
    assert CpuUsageMonitor(tmp_path / "none").other_load_and_steal() == (None, None)
    assert ReferenceLoad()() > 0
