"""The verdicts on noise like a machine's: bursts within a process, and processes that differ."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from cgt.benchmarks.analysis.compare import (
    compare_reports,
    environment_differences,
    student_t_quantile,
)
from cgt.benchmarks.harness.results import (
    BenchReport,
    Result,
    Round,
    SessionResult,
    ThroughputRun,
    load_report,
)
from cgt.benchmarks.harness.runner import NUM_SESSIONS
from cgt.runtime.errors import UsageError

ROUNDS, RUNS = 4, 12


def noisy(
    random: np.random.Generator, factor: float = 1.0, machine: float = 1.0, spread: float = 0.015
) -> Result:
    """10 ms on average, `spread` from process to process, bursts of 20 % that last many runs."""
    sessions = []
    for _ in range(NUM_SESSIONS):
        level = 10 * factor * machine * random.lognormal(0, spread)
        burst = False
        rounds = []
        for index in range(ROUNDS):
            samples = []
            for _ in range(RUNS):
                burst = random.random() < (0.85 if burst else 0.02)
                samples.append(level * (1.2 if burst else 1) * random.lognormal(0, 0.01))
            yardstick = 0.5 * machine * random.lognormal(0, 0.003)
            rounds.append(Round(index, tuple(samples), yardstick, 0.0, 0.0))
        rate = 1e3 / level
        sessions.append(
            SessionResult(0.5, 1 << 27, 1 << 25, tuple(rounds), (ThroughputRun(2, rate, (1.0,)),))
        )
    return Result("m.onnx", "openvino", "CPU", "fp32", "fp32", (64, 64), 1, sessions)


def report(result: Result) -> BenchReport:
    return BenchReport(["cgt"], "today", {"cpu": "a"}, {}, results=[result])


def verdicts(factor: float, machine: float = 1.0) -> list[str]:
    random = np.random.default_rng(7)
    found = []
    for _ in range(20):
        a, b = noisy(random), noisy(random, factor, machine)
        found.append(compare_reports(report(a), report(b))[0].result)
    return found


def test_the_same_thing_shows_no_difference() -> None:
    assert verdicts(1.0).count("no difference shown") >= 19


def test_the_interval_knows_that_processes_differ() -> None:
    """Even before what is within 3 % is called equal."""
    random = np.random.default_rng(7)
    wrong = 0
    for _ in range(20):
        a, b = noisy(random, spread=0.06), noisy(random, spread=0.06)
        (found, *_) = compare_reports(report(a), report(b))
        wrong += not found.low <= 1 <= found.high
    assert wrong <= 1


def test_ten_percent_are_found() -> None:
    assert verdicts(1.1).count("slower") >= 19
    assert verdicts(1 / 1.1).count("faster") >= 19


def test_a_slower_machine_is_no_slower_program() -> None:
    """As much slower as the yardstick: it is the machine."""
    assert verdicts(1.0, machine=1.1).count("no difference shown") >= 19


def test_a_slower_program_on_a_slower_machine_is_found() -> None:
    assert verdicts(1.2, machine=1.05).count("slower") >= 19


def test_rates_are_better_when_larger() -> None:
    random = np.random.default_rng(3)
    _, rate = compare_reports(report(noisy(random)), report(noisy(random, 1.3)))
    assert rate.metric == "throughput, 2 streams"
    assert rate.ratio == pytest.approx(1 / 1.3, rel=0.05)
    assert rate.result == "slower"
    assert rate.low < rate.ratio < rate.high


def test_one_session_proves_little() -> None:
    """How processes differ is unknown then, and it is said."""
    random = np.random.default_rng(5)
    a, b = noisy(random), noisy(random, 1.03)
    a.sessions, b.sessions = a.sessions[:1], b.sessions[:1]
    first, second = report(a), report(b)
    found = compare_reports(first, second)
    assert found[0].result == "no difference shown"
    assert any("too few" in line for line in environment_differences(first, second, found))


def test_what_else_differs_is_said() -> None:
    random = np.random.default_rng(5)
    first, second = report(noisy(random)), report(noisy(random, machine=1.2))
    second.machine = {"cpu": "b"}
    lines = environment_differences(first, second, compare_reports(first, second))
    assert any("times as slow in B" in line for line in lines)
    assert any(line.startswith("cpu differs") for line in lines)


def test_other_configurations_are_not_compared() -> None:
    a, b = (noisy(np.random.default_rng(0)) for _ in range(2))
    b.size = (64, 128)
    assert compare_reports(report(a), report(b)) == []


def test_a_report_survives_its_file(tmp_path: Path) -> None:
    written = report(noisy(np.random.default_rng(0)))
    written.save(tmp_path / "a.json")
    read = load_report(tmp_path / "a.json")
    assert read == written
    assert compare_reports(written, read)[0].ratio == 1


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"cgt_bench": 99}', '{"cgt_bench": 1}', "\x00"])
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(UsageError, match=r"other\.json"):
        load_report(tmp_path / "other.json")
    with pytest.raises(UsageError, match="cannot be read"):
        load_report(tmp_path / "none.json")


def test_student_against_the_tables() -> None:
    """Two-sided 99 %, from any table of Student's t."""
    for df, value in ((2, 9.925), (8, 3.355), (30, 2.750)):
        assert math.isclose(student_t_quantile(0.995, df), value, rel_tol=2e-3)
