"""Sessions: what is counted, in flight, said of a device, and what becomes of errors."""

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
    """Sleeps; counts how many calls were in flight."""

    name, device, precision, workers = "fake", "CPU", "fp32", 3

    def __init__(self, *arguments: Any, seconds: float = 0.001, fail_at: int = -1) -> None:
        self.goal = arguments[3] if len(arguments) > 3 else ""
        self.seconds, self.fail_at = seconds, fail_at
        self.calls = self.most = self._now = 0
        self.closed = False
        self._lock = threading.Lock()

    def infer(self, *arrays: Any) -> None:
        with self._lock:
            self.calls += 1
            self._now += 1
            self.most = max(self.most, self._now)
            if self.calls == self.fail_at:
                raise EngineError("the fake engine broke")
        time.sleep(self.seconds)
        arrays[1][...] = arrays[0]
        with self._lock:
            self._now -= 1

    def close(self) -> None:
        self.closed = True


class SimulatedDevice(FakeEngine):
    """A simulation of a GPU: says that copying in takes 3 ms, computing 2, copying out 1, and
    asking for it 4."""

    device, workers = "simulated", 1
    cuda_graph = True

    def infer_timed(self, *arrays: Any) -> SimpleNamespace:
        self.infer(*arrays)
        return SimpleNamespace(to_device=3.0, compute=2.0, to_host=1.0, enqueue=4.0)


class Opener:
    """Opens fake engines and keeps them."""

    def __init__(self, kind: type[Any], **settings: Any) -> None:
        self.kind, self.settings, self.opened = kind, settings, []

    def __call__(self, *arguments: Any) -> Any:
        self.opened.append(self.kind(*arguments, **self.settings))
        return self.opened[-1]


JOB = BenchmarkJob(DEFAULT_MODEL, (32, 32), seconds=0.02)


def test_every_run_is_kept() -> None:
    opener = Opener(FakeEngine)
    opened, session = measure_session(replace(JOB, streams=None), opener)
    assert (opened.engine, opened.device, opened.workers) == ("fake", "CPU", 3)
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
def test_as_many_calls_are_in_flight_as_asked_for(
    streams: tuple[int, ...], measured: list[int]
) -> None:
    """At most as many as the engine takes."""
    opener = Opener(FakeEngine)
    _, session = measure_session(replace(JOB, streams=streams), opener)
    assert [overlap.streams for overlap in session.throughput_runs] == measured
    latency, throughput = opener.opened
    assert (latency.goal, throughput.goal) == ("latency", "throughput")
    assert latency.most == 1
    if measured[-1] > 1:
        assert throughput.most == measured[-1]
    for overlap in session.throughput_runs:
        per_call = 1e3 / (sum(overlap.ms) / len(overlap.ms))
        assert overlap.fps == pytest.approx(overlap.streams * per_call, rel=0.2)


def test_a_batch_counts_as_its_images() -> None:
    opener = Opener(FakeEngine)
    _, session = measure_session(replace(JOB, batch=4, streams=(1,)), opener)
    (overlap,) = session.throughput_runs
    calls_per_second = 1e3 / (sum(overlap.ms) / len(overlap.ms))
    assert overlap.fps == pytest.approx(4 * calls_per_second, rel=0.1)


def test_a_device_says_where_its_time_goes() -> None:
    """On a simulated device."""
    _, session = measure_session(replace(JOB, streams=None), Opener(SimulatedDevice))
    times = session.device_times
    assert times is not None
    assert (times.h2d[0], times.compute[0], times.d2h[0], times.enqueue[0]) == (3, 2, 1, 4)
    assert (times.cuda_graph, times.spin_wait) == (True, "the driver's choice")


@pytest.mark.parametrize("call", [1, 5])
def test_an_engine_that_breaks_is_an_error(call: int) -> None:
    with pytest.raises(EngineError, match="broke"):
        measure_session(JOB, Opener(FakeEngine, fail_at=call))


def test_an_engine_that_breaks_in_a_thread_is_an_error() -> None:
    class BreaksTogether(FakeEngine):
        def infer(self, *arrays: Any) -> None:
            if self.goal == "throughput" and self.calls > 5:
                raise EngineError("only together")
            super().infer(*arrays)

    with pytest.raises(EngineError, match="only together"):
        measure_session(JOB, Opener(BreaksTogether))


def test_a_fresh_process_measures_and_its_errors_come_back(
    tiny_model: Path, tmp_path: Path
) -> None:
    exact = replace(JOB, model=tiny_model, engine="openvino", precision="fp32")
    opened, session = run_session(exact)
    assert opened.precision == "fp32"
    assert session.cold_start > 0
    with pytest.raises(ModelError, match="missing"):
        run_session(replace(JOB, model=tmp_path / "none.onnx"))
    with pytest.raises(UsageError, match="warp"):
        run_session(replace(JOB, engine="warp"))
    dead = (sys.executable, "-c", "raise SystemExit('out of memory')")
    with pytest.raises(EngineError, match="out of memory"):
        run_session(JOB, dead)


def test_configurations_take_turns() -> None:
    told: list[str] = []
    failed: dict[BenchmarkJob, CgtError] = {}
    jobs = [replace(JOB, engine="openvino", streams=None), replace(JOB, engine="warp")]
    results = run_jobs(jobs, 2, told.append, failed=failed)
    assert [line.split()[1] for line in told] == ["openvino", "warp", "openvino", "warp"]
    assert [(r.engine, len(r.sessions)) for r in results] == [("openvino", 2)]
    assert list(failed) == [jobs[1]]


def test_every_combination_is_a_job_once() -> None:
    jobs = make_jobs([DEFAULT_MODEL], ["a", "b"], ["auto"], [(64, 64), (64, 64)], [1, 2], [1], 3.0)
    assert len(jobs) == 4
    with pytest.raises(UsageError, match="source"):
        make_jobs([DEFAULT_MODEL], ["a"], ["auto"], ["source"], [1], [], 3.0)


def test_the_cores_of_others_are_counted(tmp_path: Path) -> None:
    """A simulated /proc/stat: half the ticks idle, a quarter others', a quarter stolen."""
    stat = tmp_path / "stat"
    stat.write_text("cpu 100 0 0 100 0 0 0 100 0 0\n")
    cores = CpuUsageMonitor(stat)
    stat.write_text("cpu 100100 0 0 200100 0 0 0 100100 0 0\n")
    others, stolen = cores.other_load_and_steal()
    assert others == pytest.approx(0.5, abs=0.01)
    assert stolen == pytest.approx(0.25, abs=0.01)
    assert CpuUsageMonitor(tmp_path / "none").other_load_and_steal() == (None, None)
    assert ReferenceLoad()() > 0
