"""Report comparison on noise like a machine's: bursts within a process, differing processes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

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
    """Simulate 10 ms on average, `spread` between processes, bursts of 20 % that last many runs."""
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
            reference_ms = 0.5 * machine * random.lognormal(0, 0.003)
            rounds.append(Round(index, tuple(samples), reference_ms, 0.0, 0.0))
        rate = 1e3 / level
        sessions.append(
            SessionResult(0.5, 1 << 27, 1 << 25, tuple(rounds), (ThroughputRun(2, rate, (1.0,)),))
        )
    return Result("m.onnx", "openvino", "CPU", "fp32", "fp32", (64, 64), 1, sessions)


def report(result: Result) -> BenchReport:
    return BenchReport(["cgt"], "today", {"cpu": "a"}, {}, results=[result])


def comparison_results(factor: float, machine: float = 1.0) -> list[str]:
    random = np.random.default_rng(7)
    found = []
    for _ in range(20):
        a, b = noisy(random), noisy(random, factor, machine)
        found.append(compare_reports(report(a), report(b))[0].result)
    return found


def test_identical_programs_show_no_difference() -> None:
    assert comparison_results(1.0).count("no difference shown") >= 19


def test_interval_includes_differences_between_processes() -> None:
    """Check the interval itself, without the tolerance of MIN_RATIO."""
    random = np.random.default_rng(7)
    wrong = 0
    for _ in range(20):
        a, b = noisy(random, spread=0.06), noisy(random, spread=0.06)
        (found, *_) = compare_reports(report(a), report(b))
        wrong += not found.low <= 1 <= found.high
    assert wrong <= 1


def test_ten_percent_are_detected() -> None:
    assert comparison_results(1.1).count("slower") >= 19
    assert comparison_results(1 / 1.1).count("faster") >= 19


def test_slower_machine_is_not_reported_as_slower_program() -> None:
    """The reference workload slows down as much as the program."""
    assert comparison_results(1.0, machine=1.1).count("no difference shown") >= 19


def test_slower_program_on_slower_machine_is_detected() -> None:
    assert comparison_results(1.2, machine=1.05).count("slower") >= 19


def test_rates_are_better_when_larger() -> None:
    random = np.random.default_rng(3)
    _, rate = compare_reports(report(noisy(random)), report(noisy(random, 1.3)))
    assert rate.metric == "throughput, 2 streams"
    assert rate.ratio == pytest.approx(1 / 1.3, rel=0.05)
    assert rate.result == "slower"
    assert rate.low < rate.ratio < rate.high


def test_single_session_gives_a_warning() -> None:
    """With one session, the difference between processes is unknown."""
    random = np.random.default_rng(5)
    a, b = noisy(random), noisy(random, 1.03)
    a.sessions, b.sessions = a.sessions[:1], b.sessions[:1]
    first, second = report(a), report(b)
    found = compare_reports(first, second)
    assert found[0].result == "no difference shown"
    assert any("too few" in line for line in environment_differences(first, second, found))


def test_environment_differences_are_reported() -> None:
    random = np.random.default_rng(5)
    first, second = report(noisy(random)), report(noisy(random, machine=1.2))
    second.machine = {"cpu": "b"}
    lines = environment_differences(first, second, compare_reports(first, second))
    assert any("times as slow in B" in line for line in lines)
    assert any(line.startswith("cpu differs") for line in lines)


def test_different_configurations_are_not_compared() -> None:
    a, b = (noisy(np.random.default_rng(0)) for _ in range(2))
    b.size = (64, 128)
    assert compare_reports(report(a), report(b)) == []


def old_format(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with the keys and sizes of commit 687aa29."""
    (entry,) = document["results"]
    for name in ("latency_ms", "fps"):
        del entry[name]
    entry["size"] = [64, 32]
    for old, new in (("graph", "file_precision"), ("asked", "requested_precision")):
        entry[old] = entry.pop(new)
    entry["psnr"] = entry.pop("psnr_db")
    for session in entry["sessions"]:
        session["overlaps"] = session.pop("throughput_runs")
        for run in session["overlaps"]:
            run["others"] = run.pop("other_load")
        for one in session["rounds"]:
            for old, new in (
                ("yardstick_ms", "reference_load_ms"),
                ("others", "other_load"),
                ("stolen", "steal"),
            ):
                one[old] = one.pop(new)
    row = {"graph": "fp32", "asked": "auto", "size": [64, 32], "psnr": 50.0}
    stages = {"decode": {"count": 1, "p50": 2.0}}
    pipeline = {"alone": 9.0, "others": 0.1, "bound": "decode", "size": None, "stages": stages}
    return document | {"matrix": {"rows": [row]}, "pipeline": pipeline, "projections": []}


def test_report_of_an_older_version_loads(tmp_path: Path) -> None:
    written = report(noisy(np.random.default_rng(0)))
    written.results[0].size = (64, 32)
    written.save(tmp_path / "new.json")
    document = json.loads((tmp_path / "new.json").read_text())
    assert document["results"][0]["size"] == "32x64"
    (tmp_path / "old.json").write_text(json.dumps(old_format(document)))
    read = load_report(tmp_path / "old.json")
    assert read.results == written.results
    assert read.matrix is not None
    assert read.matrix["rows"] == [
        {"file_precision": "fp32", "requested_precision": "auto", "size": "32x64", "psnr_db": 50.0}
    ]
    assert read.pipeline is not None
    assert read.pipeline["engine_fps"] == 9.0
    assert read.pipeline["stages"] == {"decode": {"count": 1, "p50": 2.0}}
    assert compare_reports(written, read)[0].ratio == 1


def test_values_that_scripts_read_are_at_the_top_level(tmp_path: Path) -> None:
    written = report(noisy(np.random.default_rng(0)))
    written.results[0].psnr_db = 41.5
    written.save(tmp_path / "a.json")
    (entry,) = json.loads((tmp_path / "a.json").read_text())["results"]
    assert list(entry["latency_ms"]) == ["p50", "p90", "p95", "p99", "max"]
    assert entry["latency_ms"]["p99"] == pytest.approx(written.results[0].percentile(99))
    assert entry["fps"] == pytest.approx(written.results[0].fps)
    assert (entry["precision"], entry["psnr_db"], entry["size"]) == ("fp32", 41.5, "64x64")


def test_saved_report_loads_unchanged(tmp_path: Path) -> None:
    written = report(noisy(np.random.default_rng(0)))
    written.save(tmp_path / "a.json")
    read = load_report(tmp_path / "a.json")
    assert read == written
    assert compare_reports(written, read)[0].ratio == 1


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"cgt_bench": 99}', '{"cgt_bench": 1}', "\x00"])
def test_other_files_are_rejected(text: str, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(UsageError, match=r"other\.json"):
        load_report(tmp_path / "other.json")
    with pytest.raises(UsageError, match="cannot be read"):
        load_report(tmp_path / "none.json")


def test_student_t_quantiles_match_published_tables() -> None:
    """The values are two-sided 99 % quantiles."""
    for df, value in ((2, 9.925), (8, 3.355), (30, 2.750)):
        assert math.isclose(student_t_quantile(0.995, df), value, rel_tol=2e-3)
