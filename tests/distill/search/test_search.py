"""Choosing the largest student that is quick enough."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from cgt.cli.bench import command
from cgt.distill.search import measure as candidates
from cgt.distill.search import measure as random_students
from cgt.distill.search import pipeline_cost, search
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
from cgt.trainer.networks.config import GeneratorConfig
from conftest import run_cgt

COST = PipelineOverhead(0.005, "clip.mp4", 0.0)


@lru_cache
def simulated(candidate: Candidate) -> CandidateTiming:
    """What nobody measured: a G multiply-adds take 4 ms, and separable ones twice that."""
    kind, macs = candidate.variant, candidate.macs((256, 256))
    ms = macs / 1e9 * (8 if kind.block == "separable" else 4)
    names = (kind.norm, kind.block, kind.upsampling)
    about = (names, candidate.ngf, candidate.blocks, candidate.parameters, macs)
    layout = candidate.pruned_from.to_json() if candidate.pruned_from else None
    return CandidateTiming(*about, ms, ms, 1e3 / ms, 0.0, "simulated", layout)


CHAINS = student_candidates()
TEACHER = GeneratorConfig("resnet9", norm="instance_affine")


@lru_cache
def table() -> LatencyTable:
    speeds = [simulated(candidate) for candidate in all_candidates()]
    empty = LatencyTable("none", {}, (256, 256), "int8", "simulated", (), COST)
    return empty.with_timings(speeds)


class SimulatedBenchmark(CandidateBenchmark):
    """Counts what is measured."""

    def __post_init__(self) -> None:
        self.table, self.measured = (
            LatencyTable("none", {}, self.size, "int8", "simulated", (), COST),
            [],
        )

    def measure(self, candidate: Candidate) -> CandidateTiming:
        speed = simulated(candidate)
        if speed not in self.table.timings:
            self.measured.append(candidate)
        self.table = self.table.with_timings([speed])
        return speed


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[Candidate]:
    """What runs from source to sink, all of it as fast as was estimated."""
    ran: list[Candidate] = []

    def run(measuring: CandidateBenchmark, candidate: Candidate) -> float:
        ran.append(candidate)
        return measuring.table.end_to_end_fps(simulated(candidate))

    monkeypatch.setattr(search, "_measure_candidate_fps", run)
    return ran


def test_every_chain_grows() -> None:
    for chain in (*CHAINS, *common_pruned_candidates()):
        for small, large in itertools.pairwise(chain):
            assert small.parameters < large.parameters
            assert simulated(small).macs < simulated(large).macs


@pytest.mark.parametrize("target", [20, 40, 60, 100])
def test_the_largest_that_reaches_the_target_is_chosen(target: float) -> None:
    measured = table()
    choice = choose_from_table(measured, target)
    assert choice.fps >= target
    for speed in measured.timings:
        if speed.pruned_from is None and speed.parameters > choice.timing.parameters:
            assert measured.end_to_end_fps(speed) < target
    assert not choice.is_measured
    assert choice.candidate.pruned_from is None


@pytest.mark.parametrize(
    ("teacher", "target", "found"),
    [
        (TEACHER, 10, "40 wide, 9 blocks, pruned, transposed"),
        (replace(TEACHER, kind="resnet6", norm="instance", padding="reflect"), 5, "48 wide, 6"),
        (replace(TEACHER, ngf=16), 5, "16 wide, 9 blocks, pruned"),
        (replace(TEACHER, upsampling="resize"), 5, "9 blocks, pruned, resize"),
        (TEACHER, 130, "blocks, batch_film"),  # none of them is so quick
        (replace(TEACHER, sampling_kernel=4), 5, "64 wide, 9 blocks"),  # not in the table
        (replace(TEACHER, norm="batch"), 5, "64 wide, 9 blocks"),
        (GeneratorConfig("unet256"), 5, "64 wide, 9 blocks"),
    ],
)
def test_one_that_is_pruned_from_the_teacher_comes_first(
    teacher: GeneratorConfig, target: float, found: str, quick: list[Candidate]
) -> None:
    """By a table, and by measuring here, where more layouts are known."""
    assert found in str(choose_from_table(table(), target, teacher).candidate)
    choice = search.search_students(SimulatedBenchmark(teacher=teacher), target)
    assert choice.candidate == quick[-1]
    if teacher.sampling_kernel == 3:
        assert choice.candidate == choose_from_table(table(), target, teacher).candidate
    else:
        assert choice.candidate.pruned_from is not None


def test_new_networks_are_not_measured_where_a_pruned_one_will_do(quick: list[Candidate]) -> None:
    measuring = SimulatedBenchmark(teacher=TEACHER)
    assert search.search_students(measuring, 5).candidate.pruned_from is not None
    assert all(candidate.layout is not None for candidate in measuring.measured)
    assert len(measuring.measured) <= 4


def test_the_pipelines_share_is_left_for_it() -> None:
    """With 5 ms beside the engine 60 frames/s need an engine with 1 / (16.7 - 5 ms)."""
    assert COST.required_engine_fps(60) == pytest.approx(85.7, abs=0.1)
    assert COST.end_to_end_fps(COST.required_engine_fps(60)) == pytest.approx(60)
    assert COST.required_engine_fps(200) == float("inf")
    free = replace(table(), cost=replace(COST, seconds_per_frame=0.0))
    assert (
        choose_from_table(free, 60).candidate.parameters
        > choose_from_table(table(), 60).candidate.parameters
    )


def test_bisection_finds_what_measuring_all_would() -> None:
    for chain in CHAINS:
        for needed in (1.0, 50.0, 100.0, 333.0, 1e9):
            measuring = SimulatedBenchmark()
            found = largest_feasible(measuring, chain, needed)
            reach = [c for c in chain if simulated(c).fps >= needed]
            assert found == (reach[-1] if reach else None)
            assert len(measuring.measured) <= 4


def test_what_is_chosen_is_really_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A candidate whose estimate is good and whose run is not gives way to the next smaller."""
    ran: list[Candidate] = []

    def run(measuring: CandidateBenchmark, candidate: Candidate) -> float:
        ran.append(candidate)
        return 0.97 * measuring.table.end_to_end_fps(simulated(candidate))

    monkeypatch.setattr(search, "_measure_candidate_fps", run)
    measuring = SimulatedBenchmark()
    choice = search.search_students(measuring, 60)
    assert choice.is_measured
    assert choice.fps >= 60
    assert choice.candidate == ran[-1]
    larger = [c.parameters for c in ran[:-1]]
    assert all(n >= choice.candidate.parameters for n in larger)
    monkeypatch.setattr(search, "_measure_candidate_fps", lambda *_: 1.0)
    with pytest.raises(
        QualityError, match=r"no student reaches 60 frames/s .*the closest, \d+ wide"
    ):
        search.search_students(SimulatedBenchmark(), 60)


def test_a_miss_names_the_closest() -> None:
    with pytest.raises(QualityError, match=r"500 frames/s .* 8 wide, 2 blocks.* 5\.0 ms a frame"):
        choose_from_table(table(), 500)
    with pytest.raises(QualityError, match="no candidate"):
        choose_from_table(LatencyTable("", {}, (1, 1), "int8", "auto", ()), 1)


def test_a_finished_student_is_held_to_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CandidateBenchmark, "load_cached", lambda _: table())
    assert target_missed_error(60.1, 60, SimulatedBenchmark()) is None
    error = target_missed_error(50, 60, SimulatedBenchmark())
    assert isinstance(error, QualityError)
    assert error.exit_code == 4
    assert "runs at 50.0 frames/s" in str(error)
    assert f"{choose_from_table(table(), 60).candidate} reaches" in str(error)
    monkeypatch.undo()
    assert "`cgt distill --list-candidates` measures" in str(
        target_missed_error(50, 60, CandidateBenchmark((32, 32)))
    )


def test_tables_travel(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    table().save(path)
    again = load_latency_table(path)
    assert again == table()
    assert choose_from_table(again, 60).candidate == choose_from_table(table(), 60).candidate
    values = json.loads(path.read_text())
    for wrong in ("{}", "[]", "nonsense", json.dumps(values | {"cgt_candidates": 1})):
        path.write_text(wrong)
        with pytest.raises(UsageError, match=r"table\.json"):
            load_latency_table(path)
    with pytest.raises(UsageError, match="cannot be read"):
        load_latency_table(tmp_path / "absent")


def test_the_table_is_shown() -> None:
    console = Console(record=True, width=80)
    print_latency_table(table(), console, choose_from_table(table(), 60).timing)
    text = console.export_text()
    lines = text.splitlines()
    assert sum(line.startswith("* ") and "batch_film" in line for line in lines) == 1
    assert "…" not in text
    assert any(line.startswith("8x2 batch_film plain transposed") for line in lines)
    assert any(line.startswith("20x9 pruned transposed") for line in lines)
    assert "5.0 ms a frame" in text


def test_candidates_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Really measured, by OpenVINO, and written; the second time remembered."""
    few = [[Candidate(StudentVariant(), 8, 2)]]
    pruned = [Candidate.from_teacher(TEACHER, 4, 1)]
    monkeypatch.setattr(candidates, "student_candidates", lambda: few)
    monkeypatch.setattr(candidates, "common_pruned_candidates", lambda: [pruned])
    monkeypatch.setattr(candidates, "pruned_candidates", lambda _: pruned)
    monkeypatch.setattr(candidates, "SESSIONS_PER_CANDIDATE", 1)
    monkeypatch.setattr(candidates, "SESSION_S", 0.05)
    monkeypatch.setattr(candidates, "MAX_OTHER_LOAD", 2.0)  # others may disturb a test
    monkeypatch.setattr(pipeline_cost, "MEASURE_S", 0.2)
    monkeypatch.setattr(pipeline_cost, "_SYNTHETIC_URI", "test://?size=160x96&fps=24&frames=24")
    monkeypatch.setattr(random_students, "CALIBRATION_IMAGES", 10)
    clip = str(write_synthetic_clip(tmp_path))
    with open_source(clip) as source:
        assert sum(isinstance(item, Frame) for item in source) == 24
    path = tmp_path / "table.json"
    flags = ["--candidates", "--size", "64", "--engine", "openvino", "--pipeline", clip]
    done = CliRunner().invoke(command, [*flags, "--json", str(path)])
    assert done.exit_code == 0, done.output
    assert "beside the engine (made.mp4)" in done.output
    first = load_latency_table(path)
    assert [speed.candidate for speed in first.timings] == few[0] + pruned
    assert all(0 < speed.p50_ms <= speed.p99_ms for speed in first.timings)
    assert first.overhead is not None
    monkeypatch.setattr(
        CandidateBenchmark, "_run_sessions", lambda *_: pytest.fail("measured again")
    )
    monkeypatch.setattr(
        candidates, "measure_pipeline_overhead", lambda *_: pytest.fail("measured again")
    )
    again = CandidateBenchmark((64, 64), "int8", "openvino", clip)
    assert measure_candidates(again) == first
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
def test_mistakes(flags: tuple[str, ...]) -> None:
    done = run_cgt("bench", "--candidates", *flags)
    assert done.returncode in (1, 2), done.stderr
    assert len(done.stderr.splitlines()) == 1
