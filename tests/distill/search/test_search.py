"""Search for the largest student that is fast enough, and the latency table."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from cgt.benchmarks.harness.environment import describe_machine, machine_summary, package_versions
from cgt.cli.bench import command
from cgt.distill.search import measure, pipeline_cost, search
from cgt.distill.search.candidates import (
    Candidate,
    StudentVariant,
    common_pruned_candidates,
    student_candidates,
)
from cgt.distill.search.latency_table import (
    CandidateTiming,
    LatencyTable,
    load_latency_table,
    print_latency_table,
)
from cgt.distill.search.measure import CandidateBenchmark, all_candidates, measure_candidates
from cgt.distill.search.pipeline_cost import PipelineOverhead, write_synthetic_clip
from cgt.distill.search.search import choose_from_table, largest_feasible, target_missed_error
from cgt.runtime.errors import QualityError, UsageError
from cgt.runtime.sources import Frame, open_source
from cgt.runtime.utils.cache import JsonCache, short_hash
from cgt.trainer.networks.config import GeneratorConfig
from conftest import run_cgt

OVERHEAD = PipelineOverhead(0.005, "clip.mp4", 0.0)


@lru_cache
def simulated(candidate: Candidate) -> CandidateTiming:
    """Return a timing with 4 ms per G multiply-adds, twice that for separable convolutions."""
    variant, macs = candidate.variant, candidate.macs((256, 256))
    ms = macs / 1e9 * (8 if variant.block == "separable" else 4)
    values = (variant.norm, variant.block, variant.upsampling)
    costs = (values, candidate.ngf, candidate.blocks, candidate.parameters, macs)
    pruned_from = candidate.pruned_from.to_json() if candidate.pruned_from else None
    return CandidateTiming(*costs, ms, ms, 1e3 / ms, 0.0, "simulated", pruned_from)


CHAINS = student_candidates()
TEACHER = GeneratorConfig("resnet9", norm="instance_affine")


@lru_cache
def table() -> LatencyTable:
    timings = [simulated(candidate) for candidate in all_candidates()]
    empty = LatencyTable("none", {}, (256, 256), "int8", "simulated", (), OVERHEAD)
    return empty.with_timings(timings)


class SimulatedBenchmark(CandidateBenchmark):
    """Records which candidates are measured."""

    def __post_init__(self) -> None:
        self.table, self.measured = (
            LatencyTable("none", {}, self.size, "int8", "simulated", (), OVERHEAD),
            [],
        )

    def measure(self, candidate: Candidate) -> CandidateTiming:
        timing = simulated(candidate)
        if timing not in self.table.timings:
            self.measured.append(candidate)
        self.table = self.table.with_timings([timing])
        return timing


@pytest.fixture
def end_to_end_runs(monkeypatch: pytest.MonkeyPatch) -> list[Candidate]:
    """Record candidates that run end to end, each as fast as estimated."""
    ran: list[Candidate] = []

    def run(benchmark: CandidateBenchmark, candidate: Candidate) -> float:
        ran.append(candidate)
        return benchmark.table.end_to_end_fps(simulated(candidate))

    monkeypatch.setattr(search, "_measure_candidate_fps", run)
    return ran


def test_every_chain_grows() -> None:
    for chain in (*CHAINS, *common_pruned_candidates()):
        for small, large in itertools.pairwise(chain):
            assert small.parameters < large.parameters
            assert simulated(small).macs < simulated(large).macs


@pytest.mark.parametrize("target", [20, 40, 60, 100])
def test_the_largest_student_that_reaches_the_target_is_selected(target: float) -> None:
    measured = table()
    result = choose_from_table(measured, target)
    assert result.fps >= target
    for timing in measured.timings:
        if timing.pruned_from is None and timing.parameters > result.timing.parameters:
            assert measured.end_to_end_fps(timing) < target
    assert not result.is_measured
    assert result.candidate.pruned_from is None


@pytest.mark.parametrize(
    ("teacher", "target", "expected"),
    [
        (TEACHER, 10, "40 wide, 9 blocks, pruned, transposed"),
        (replace(TEACHER, kind="resnet6", norm="instance", padding="reflect"), 5, "48 wide, 6"),
        (replace(TEACHER, ngf=16), 5, "16 wide, 9 blocks, pruned"),
        (replace(TEACHER, upsampling="resize"), 5, "9 blocks, pruned, resize"),
        (TEACHER, 130, "blocks, batch_film"),  # no pruned one is fast enough
        (replace(TEACHER, sampling_kernel=4), 5, "64 wide, 9 blocks"),  # not in the table
        (replace(TEACHER, norm="batch"), 5, "64 wide, 9 blocks"),
        (GeneratorConfig("unet256"), 5, "64 wide, 9 blocks"),
    ],
)
def test_a_pruned_student_is_preferred(
    teacher: GeneratorConfig, target: float, expected: str, end_to_end_runs: list[Candidate]
) -> None:
    """Check selection by table and by measuring, which covers more teachers."""
    assert expected in str(choose_from_table(table(), target, teacher).candidate)
    result = search.search_students(SimulatedBenchmark(teacher=teacher), target)
    assert result.candidate == end_to_end_runs[-1]
    if teacher.sampling_kernel == 3:
        assert result.candidate == choose_from_table(table(), target, teacher).candidate
    else:
        assert result.candidate.pruned_from is not None


@pytest.mark.usefixtures("end_to_end_runs")
def test_other_students_are_not_measured_if_a_pruned_one_is_fast_enough() -> None:
    benchmark = SimulatedBenchmark(teacher=TEACHER)
    assert search.search_students(benchmark, 5).candidate.pruned_from is not None
    assert all(candidate.pruned_from is not None for candidate in benchmark.measured)
    assert len(benchmark.measured) <= 4


def test_the_pipeline_overhead_is_subtracted() -> None:
    """Check that 60 frames/s with 5 ms overhead need an engine with 1 / (16.7 - 5 ms)."""
    assert OVERHEAD.required_engine_fps(60) == pytest.approx(85.7, abs=0.1)
    assert OVERHEAD.end_to_end_fps(OVERHEAD.required_engine_fps(60)) == pytest.approx(60)
    assert OVERHEAD.required_engine_fps(200) == float("inf")
    without = replace(table(), overhead=replace(OVERHEAD, seconds_per_frame=0.0))
    assert (
        choose_from_table(without, 60).candidate.parameters
        > choose_from_table(table(), 60).candidate.parameters
    )


def test_bisection_equals_a_full_search() -> None:
    for chain in CHAINS:
        for needed in (1.0, 50.0, 100.0, 333.0, 1e9):
            benchmark = SimulatedBenchmark()
            found = largest_feasible(benchmark, chain, needed)
            feasible = [c for c in chain if simulated(c).fps >= needed]
            assert found == (feasible[-1] if feasible else None)
            assert len(benchmark.measured) <= 4


def test_the_result_is_measured_end_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that a candidate slower than its estimate is replaced by the next smaller one."""
    ran: list[Candidate] = []

    def run(benchmark: CandidateBenchmark, candidate: Candidate) -> float:
        ran.append(candidate)
        return 0.97 * benchmark.table.end_to_end_fps(simulated(candidate))

    monkeypatch.setattr(search, "_measure_candidate_fps", run)
    benchmark = SimulatedBenchmark()
    result = search.search_students(benchmark, 60)
    assert result.is_measured
    assert result.fps >= 60
    assert result.candidate == ran[-1]
    larger = [c.parameters for c in ran[:-1]]
    assert all(n >= result.candidate.parameters for n in larger)
    monkeypatch.setattr(search, "_measure_candidate_fps", lambda *_: 1.0)
    with pytest.raises(
        QualityError, match=r"no student reaches 60 frames/s .*the fastest, \d+ wide"
    ):
        search.search_students(SimulatedBenchmark(), 60)


def test_errors_name_the_fastest_candidate() -> None:
    with pytest.raises(QualityError, match=r"500 frames/s .* 8 wide, 2 blocks.* 5\.0 ms per frame"):
        choose_from_table(table(), 500)
    with pytest.raises(QualityError, match="no candidate"):
        choose_from_table(LatencyTable("", {}, (1, 1), "int8", "auto", ()), 1)


def test_a_finished_student_must_reach_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CandidateBenchmark, "load_cached", lambda _: table())
    assert target_missed_error(60.1, 60, SimulatedBenchmark()) is None
    error = target_missed_error(50, 60, SimulatedBenchmark())
    assert isinstance(error, QualityError)
    assert error.exit_code == 4
    assert "runs at 50.0 frames/s" in str(error)
    assert f"{choose_from_table(table(), 60).candidate} reaches" in str(error)
    monkeypatch.undo()
    assert "a faster student with `cgt distill --list-candidates`" in str(
        target_missed_error(50, 60, CandidateBenchmark((32, 32)))
    )


def test_a_table_is_saved_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    table().save(path)
    loaded = load_latency_table(path)
    assert loaded == table()
    assert choose_from_table(loaded, 60).candidate == choose_from_table(table(), 60).candidate
    values = json.loads(path.read_text())
    for wrong in ("{}", "[]", "nonsense", json.dumps(values | {"cgt_candidates": 1})):
        path.write_text(wrong)
        with pytest.raises(UsageError, match=r"table\.json"):
            load_latency_table(path)
    with pytest.raises(UsageError, match="cannot be read"):
        load_latency_table(tmp_path / "absent")


@pytest.mark.parametrize("pruned", [False, True])
def test_tables_of_0_1_0_are_read(pruned: bool, tmp_path: Path) -> None:
    """Check the aliases of fields and values, in tables and in the cache."""
    teacher = {"kind": "resnet9", "norm": "instance_affine", "halvings": 2, "ends_kernel": 7}
    timing = {
        **{"kind": ["steered", "mobile", "resize"], "ngf": 8, "blocks": 2, "parameters": 19372},
        **{"macs": 946944, "p50": 0.05, "p99": 0.09, "fps": 17646.0, "others": 0.5},
        **{"engine": "onnxruntime", "layout": teacher if pruned else None},
    }
    values = {
        **{"cgt_candidates": 2, "machine": "none", "versions": {}, "size": [32, 32]},
        **{"precision": "fp32", "engine": "onnxruntime", "speeds": [timing]},
        "cost": {"seconds": 0.001, "video": "clip.mp4", "others": 0.8},
    }
    path = tmp_path / "table.json"
    path.write_text(json.dumps(values))
    loaded = load_latency_table(path)
    assert loaded.overhead == PipelineOverhead(0.001, "clip.mp4", 0.8)
    candidate = loaded.timings[0].candidate
    assert candidate.variant == StudentVariant("batch_film", "separable", "resize")
    assert candidate.pruned_from == (TEACHER if pruned else None)
    assert (loaded.timings[0].p50_ms, loaded.timings[0].other_load) == (0.05, 0.5)


def test_cache_keys_of_0_1_0_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    candidate = Candidate(StudentVariant(block="separable"), 8, 2)
    subject = {
        **{"kind": "student2", "ngf": 8, "in_channels": 3, "out_channels": 3, "norm": "steered"},
        **{"learn_residual": True, "tone": False, "upsampling": "transposed"},
        **{"downsampling": "strided", "block": "mobile", "dropout": False, "bias": False},
        **{"halvings": 1, "patch": 2, "widths": [], "kernel": 3, "ends_kernel": 3},
        **{"residual": True, "bare_first": False, "ends_padding": "zero", "padding": "zero"},
        **{"down_padding": "zero", "up_padding": "zero", "output": "tanh"},
    }
    environment = (2, machine_summary(describe_machine()), package_versions())
    settings = ((32, 32), "fp32", "onnxruntime", 3, 0.4)
    timing = {
        **{"kind": ["steered", "mobile", "transposed"], "ngf": 8, "blocks": 2},
        **{"parameters": 19372, "macs": 725760, "p50": 0.05, "p99": 0.13, "fps": 12831.0},
        **{"others": 0.1, "engine": "onnxruntime", "layout": None},
    }
    JsonCache("candidates.json").put(short_hash(*environment, *settings, subject), timing)
    monkeypatch.setattr(CandidateBenchmark, "_run_sessions", lambda *_: pytest.fail("measured"))
    measured = CandidateBenchmark((32, 32), "fp32", "onnxruntime").measure(candidate)
    assert measured.p50_ms == 0.05


def test_the_table_is_printed() -> None:
    console = Console(record=True, width=80)
    print_latency_table(table(), console, choose_from_table(table(), 60).timing)
    text = console.export_text()
    lines = text.splitlines()
    assert sum(line.startswith("* ") and "batch_film" in line for line in lines) == 1
    assert "…" not in text
    assert any(line.startswith("8x2 batch_film plain transposed") for line in lines)
    assert any(line.startswith("20x9 pruned transposed") for line in lines)
    assert "5.0 ms per frame" in text


@pytest.mark.slow
def test_timings_are_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure with OpenVINO and save; the second run must use the cache."""
    few = [[Candidate(StudentVariant(), 8, 2)]]
    pruned = [Candidate.from_teacher(TEACHER, 4, 1)]
    monkeypatch.setattr(measure, "student_candidates", lambda: few)
    monkeypatch.setattr(measure, "common_pruned_candidates", lambda: [pruned])
    monkeypatch.setattr(measure, "pruned_candidates", lambda _: pruned)
    monkeypatch.setattr(measure, "SESSIONS_PER_CANDIDATE", 1)
    monkeypatch.setattr(measure, "SESSION_S", 0.05)
    monkeypatch.setattr(measure, "MAX_OTHER_LOAD", 2.0)  # accept disturbed measurements
    monkeypatch.setattr(pipeline_cost, "MEASURE_S", 0.2)
    monkeypatch.setattr(pipeline_cost, "_SYNTHETIC_URI", "test://?size=160x96&fps=24&frames=24")
    monkeypatch.setattr(measure, "CALIBRATION_IMAGES", 10)
    clip = str(write_synthetic_clip(tmp_path))
    with open_source(clip) as source:
        assert sum(isinstance(item, Frame) for item in source) == 24
    path = tmp_path / "table.json"
    flags = ["students", "--size", "64", "--engine", "openvino", "--pipeline", clip]
    done = CliRunner().invoke(command, [*flags, "--json", str(path)])
    assert done.exit_code == 0, done.output
    assert "to the engine's time (synthetic.mp4)" in " ".join(done.output.split())
    first = load_latency_table(path)
    assert [timing.candidate for timing in first.timings] == few[0] + pruned
    assert all(0 < timing.p50_ms <= timing.p99_ms for timing in first.timings)
    assert first.overhead is not None
    monkeypatch.setattr(
        CandidateBenchmark, "_run_sessions", lambda *_: pytest.fail("measured twice")
    )
    monkeypatch.setattr(
        measure, "measure_pipeline_overhead", lambda *_: pytest.fail("measured twice")
    )
    second = CandidateBenchmark((64, 64), "int8", "openvino", clip)
    assert measure_candidates(second) == first
    assert (
        CandidateBenchmark((64, 64), "int8", "openvino", clip, teacher=TEACHER).load_cached()
        == first
    )


@pytest.mark.parametrize(
    "flags",
    [
        ("--matrix",),
        ("--engine", "openvino,onnxruntime"),
        ("--size", "source"),
        ("--precision", "int4"),
        ("--engine", "tensorrt"),
        ("--html", "page.html"),
        ("--json", "no/such/folder/t.json"),
    ],
)
def test_usage_errors_are_one_line(flags: tuple[str, ...]) -> None:
    done = run_cgt("bench", "students", *flags)
    assert done.returncode in (1, 2), done.stderr
    assert len(done.stderr.splitlines()) == 1
