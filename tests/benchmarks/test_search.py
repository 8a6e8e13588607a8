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

from cgt.benchmarks import candidates, pipeline_cost, random_students, search
from cgt.benchmarks.candidate_table import print_table
from cgt.benchmarks.candidates import Measuring, every_candidate, measure_candidates
from cgt.benchmarks.latency_table import Speed, Table, load_table
from cgt.benchmarks.pipeline_cost import Cost, made_clip
from cgt.benchmarks.search import choose, missed, widest
from cgt.cli.bench import command
from cgt.runtime.errors import QualityError, UsageError
from cgt.runtime.sources import Frame, open_source
from cgt.trainer.config import GeneratorConfig
from cgt.trainer.distill.family import Candidate, Kind, family, usual_pruned
from conftest import run_cgt

COST = Cost(0.005, "clip.mp4", 0.0)


@lru_cache
def simulated(candidate: Candidate) -> Speed:
    """What nobody measured: a G multiply-adds take 4 ms, and separable ones twice that."""
    kind, macs = candidate.kind, candidate.macs((256, 256))
    ms = macs / 1e9 * (8 if kind.block == "mobile" else 4)
    names = (kind.norm, kind.block, kind.upsampling)
    about = (names, candidate.ngf, candidate.blocks, candidate.parameters, macs)
    layout = candidate.layout.to_json() if candidate.layout else None
    return Speed(*about, ms, ms, 1e3 / ms, 0.0, "simulated", layout)


CHAINS = family()
TEACHER = GeneratorConfig("resnet9", norm="instance_affine")


@lru_cache
def table() -> Table:
    speeds = [simulated(candidate) for candidate in every_candidate()]
    empty = Table("none", {}, (256, 256), "int8", "simulated", (), COST)
    return empty.with_speeds(speeds)


class Simulated(Measuring):
    """Counts what is measured."""

    def __post_init__(self) -> None:
        self.table, self.measured = Table("none", {}, self.size, "int8", "simulated", (), COST), []

    def speed(self, candidate: Candidate) -> Speed:
        speed = simulated(candidate)
        if speed not in self.table.speeds:
            self.measured.append(candidate)
        self.table = self.table.with_speeds([speed])
        return speed


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[Candidate]:
    """What runs from source to sink, all of it as fast as was estimated."""
    ran: list[Candidate] = []

    def run(measuring: Measuring, candidate: Candidate) -> float:
        ran.append(candidate)
        return measuring.table.end_to_end(simulated(candidate))

    monkeypatch.setattr(search, "_from_source_to_sink", run)
    return ran


def test_every_chain_grows() -> None:
    for chain in (*CHAINS, *usual_pruned()):
        for small, large in itertools.pairwise(chain):
            assert small.parameters < large.parameters
            assert simulated(small).macs < simulated(large).macs


@pytest.mark.parametrize("target", [20, 40, 60, 100])
def test_the_largest_that_reaches_the_target_is_chosen(target: float) -> None:
    measured = table()
    choice = choose(measured, target)
    assert choice.fps >= target
    for speed in measured.speeds:
        if speed.layout is None and speed.parameters > choice.speed.parameters:
            assert measured.end_to_end(speed) < target
    assert not choice.measured
    assert choice.candidate.layout is None


@pytest.mark.parametrize(
    ("teacher", "target", "found"),
    [
        (TEACHER, 10, "40 wide, 9 blocks, pruned, transposed"),
        (replace(TEACHER, kind="resnet6", norm="instance", padding="reflect"), 5, "48 wide, 6"),
        (replace(TEACHER, ngf=16), 5, "16 wide, 9 blocks, pruned"),
        (replace(TEACHER, upsampling="resize"), 5, "9 blocks, pruned, resize"),
        (TEACHER, 130, "blocks, steered"),  # none of them is so quick
        (replace(TEACHER, kernel=4), 5, "64 wide, 9 blocks"),  # not in the table
        (replace(TEACHER, norm="batch"), 5, "64 wide, 9 blocks"),
        (GeneratorConfig("unet256"), 5, "64 wide, 9 blocks"),
    ],
)
def test_one_that_is_pruned_from_the_teacher_comes_first(
    teacher: GeneratorConfig, target: float, found: str, quick: list[Candidate]
) -> None:
    """By a table, and by measuring here, where more layouts are known."""
    assert found in str(choose(table(), target, teacher).candidate)
    choice = search.search(Simulated(teacher=teacher), target)
    assert choice.candidate == quick[-1]
    if teacher.kernel == 3:
        assert choice.candidate == choose(table(), target, teacher).candidate
    else:
        assert choice.candidate.layout is not None


def test_new_networks_are_not_measured_where_a_pruned_one_will_do(quick: list[Candidate]) -> None:
    measuring = Simulated(teacher=TEACHER)
    assert search.search(measuring, 5).candidate.layout is not None
    assert all(candidate.layout is not None for candidate in measuring.measured)
    assert len(measuring.measured) <= 4


def test_the_pipelines_share_is_left_for_it() -> None:
    """With 5 ms beside the engine 60 frames/s need an engine with 1 / (16.7 - 5 ms)."""
    assert COST.needed(60) == pytest.approx(85.7, abs=0.1)
    assert COST.end_to_end(COST.needed(60)) == pytest.approx(60)
    assert COST.needed(200) == float("inf")
    free = replace(table(), cost=replace(COST, seconds=0.0))
    assert choose(free, 60).candidate.parameters > choose(table(), 60).candidate.parameters


def test_bisection_finds_what_measuring_all_would() -> None:
    for chain in CHAINS:
        for needed in (1.0, 50.0, 100.0, 333.0, 1e9):
            measuring = Simulated()
            found = widest(measuring, chain, needed)
            reach = [c for c in chain if simulated(c).fps >= needed]
            assert found == (reach[-1] if reach else None)
            assert len(measuring.measured) <= 4


def test_what_is_chosen_is_really_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A candidate whose estimate is good and whose run is not gives way to the next smaller."""
    ran: list[Candidate] = []

    def run(measuring: Measuring, candidate: Candidate) -> float:
        ran.append(candidate)
        return 0.97 * measuring.table.end_to_end(simulated(candidate))

    monkeypatch.setattr(search, "_from_source_to_sink", run)
    measuring = Simulated()
    choice = search.search(measuring, 60)
    assert choice.measured
    assert choice.fps >= 60
    assert choice.candidate == ran[-1]
    larger = [c.parameters for c in ran[:-1]]
    assert all(n >= choice.candidate.parameters for n in larger)
    monkeypatch.setattr(search, "_from_source_to_sink", lambda *_: 1.0)
    with pytest.raises(
        QualityError, match=r"no student reaches 60 frames/s .*the closest, \d+ wide"
    ):
        search.search(Simulated(), 60)


def test_a_miss_names_the_closest() -> None:
    with pytest.raises(QualityError, match=r"500 frames/s .* 8 wide, 2 blocks.* 5\.0 ms a frame"):
        choose(table(), 500)
    with pytest.raises(QualityError, match="no candidate"):
        choose(Table("", {}, (1, 1), "int8", "auto", ()), 1)


def test_a_finished_student_is_held_to_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Measuring, "recall", lambda _: table())
    assert missed(60.1, 60, Simulated()) is None
    error = missed(50, 60, Simulated())
    assert isinstance(error, QualityError)
    assert error.exit_code == 4
    assert "runs at 50.0 frames/s" in str(error)
    assert f"{choose(table(), 60).candidate} reaches" in str(error)
    monkeypatch.undo()
    assert "`cgt distill --list` measures" in str(missed(50, 60, Measuring((32, 32))))


def test_tables_travel(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    table().save(path)
    again = load_table(path)
    assert again == table()
    assert choose(again, 60).candidate == choose(table(), 60).candidate
    values = json.loads(path.read_text())
    for wrong in ("{}", "[]", "nonsense", json.dumps(values | {"cgt_candidates": 1})):
        path.write_text(wrong)
        with pytest.raises(UsageError, match=r"table\.json"):
            load_table(path)
    with pytest.raises(UsageError, match="cannot be read"):
        load_table(tmp_path / "absent")


def test_the_table_is_shown() -> None:
    console = Console(record=True, width=80)
    print_table(table(), console, choose(table(), 60).speed)
    text = console.export_text()
    lines = text.splitlines()
    assert sum(line.startswith("* ") and "steered" in line for line in lines) == 1
    assert "…" not in text
    assert any(line.startswith("8x2 steered plain transposed") for line in lines)
    assert any(line.startswith("20x9 pruned transposed") for line in lines)
    assert "5.0 ms a frame" in text


def test_candidates_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Really measured, by OpenVINO, and written; the second time remembered."""
    few = [[Candidate(Kind(), 8, 2)]]
    pruned = [Candidate.pruned(TEACHER, 4, 1)]
    monkeypatch.setattr(candidates, "family", lambda: few)
    monkeypatch.setattr(candidates, "usual_pruned", lambda: [pruned])
    monkeypatch.setattr(candidates, "pruned_family", lambda _: pruned)
    monkeypatch.setattr(candidates, "SESSIONS", 1)
    monkeypatch.setattr(candidates, "SECONDS", 0.05)
    monkeypatch.setattr(candidates, "SHARE", 2.0)  # others may disturb a test
    monkeypatch.setattr(pipeline_cost, "SECONDS", 0.2)
    monkeypatch.setattr(pipeline_cost, "_MADE", "test://?size=160x96&fps=24&frames=24")
    monkeypatch.setattr(random_students, "PICTURES", 10)
    clip = str(made_clip(tmp_path))
    with open_source(clip) as source:
        assert sum(isinstance(item, Frame) for item in source) == 24
    path = tmp_path / "table.json"
    flags = ["--candidates", "--size", "64", "--engine", "openvino", "--pipeline", clip]
    done = CliRunner().invoke(command, [*flags, "--json", str(path)])
    assert done.exit_code == 0, done.output
    assert "beside the engine (made.mp4)" in done.output
    first = load_table(path)
    assert [speed.candidate for speed in first.speeds] == few[0] + pruned
    assert all(0 < speed.p50 <= speed.p99 for speed in first.speeds)
    assert first.cost is not None
    monkeypatch.setattr(Measuring, "_measure", lambda *_: pytest.fail("measured again"))
    monkeypatch.setattr(candidates, "measure_cost", lambda *_: pytest.fail("measured again"))
    again = Measuring((64, 64), "int8", "openvino", clip)
    assert measure_candidates(again) == first
    assert Measuring((64, 64), "int8", "openvino", clip, teacher=TEACHER).recall() == first


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
