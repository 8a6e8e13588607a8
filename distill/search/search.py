"""The largest student that reaches a frame rate, from source to sink.

Those that are pruned from their teacher, and begin as it, come first; new networks follow where
none of them is quick enough. Within a kind a larger student is slower, so each kind is bisected;
what is chosen is then really run from source to sink, and its neighbours are tried until the
largest that reaches the rate is found. Nothing is taken for true that was not measured.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cgt.runtime.errors import QualityError
from cgt.trainer.networks.config import GeneratorConfig

from .candidates import Candidate, StudentVariant, pruned_candidates, student_candidates
from .latency_table import CandidateTiming, LatencyTable
from .measure import CandidateBenchmark, export_random_student, median_candidate
from .pipeline_cost import measure_run


@dataclass(frozen=True)
class SearchResult:
    """What to train, and why. fps: from source to sink, measured with random weights, where it was
    measured here; else estimated."""

    candidate: Candidate
    timing: CandidateTiming
    fps: float
    is_measured: bool
    target_fps: float
    table: LatencyTable

    def __str__(self) -> str:
        how = "measured" if self.is_measured else "estimated"
        return (
            f"{self.candidate}: {self.fps:.1f} frames/s from source to sink ({how}, random "
            f"weights), {self.timing.fps:.1f} alone, target {self.target_fps:g}"
        )


def choose_from_table(
    table: LatencyTable, target: float, teacher: GeneratorConfig | None = None
) -> SearchResult:
    """From a table, perhaps of another machine; of pruned students, those of this teacher. Raises
    QualityError, naming the closest candidate, where none reaches `target` frames per second, and
    where there is none."""
    own = set(pruned_candidates(teacher)) if teacher else set()
    open_to = [s for s in table.timings if s.pruned_from is None or s.candidate in own]
    table = replace(table, timings=tuple(open_to))
    good = [speed for speed in table.timings if table.end_to_end_fps(speed) >= target]
    if not good:
        raise no_candidate_error(table, target)
    best = max(good, key=lambda speed: speed.capacity_key)
    return SearchResult(best.candidate, best, table.end_to_end_fps(best), False, target, table)


def search_students(
    benchmark: CandidateBenchmark, target: float, variants: Sequence[StudentVariant] = ()
) -> SearchResult:
    """The same by measuring here, as few candidates as will do. kinds: of new ones, by default
    all. Raises QualityError as `choose` does; measuring.table has what was measured in any case."""
    needed = benchmark.measure_overhead(median_candidate()).required_engine_fps(target)
    tried: dict[Candidate, float] = {}
    for chains in ([benchmark.pruned_candidates], student_candidates(*variants)):
        for chain in chains:
            largest_feasible(benchmark, chain, needed)
        searched = {candidate for chain in chains for candidate in chain}
        for speed in _near_target(benchmark.table, target):
            if speed.candidate not in searched:
                continue
            fps = _measure_candidate_fps(benchmark, speed.candidate)
            tried[speed.candidate] = fps
            if fps >= target:
                return SearchResult(speed.candidate, speed, fps, True, target, benchmark.table)
    raise no_candidate_error(benchmark.table, target, tried)


def largest_feasible(
    benchmark: CandidateBenchmark, chain: Sequence[Candidate], required_fps: float
) -> Candidate | None:
    """The last of a chain, from small to large, that runs `needed` frames per second alone."""
    low, high = 0, len(chain)  # all below `low` reach it, none from `high` on does
    while low < high:
        middle = (low + high) // 2
        if benchmark.measure(chain[middle]).fps >= required_fps:
            low = middle + 1
        else:
            high = middle
    return chain[low - 1] if low else None


NEAR_TARGET_SHARE = 0.9
"""Share of the target from which on an estimate may turn out to reach it."""


def _near_target(table: LatencyTable, target: float) -> list[CandidateTiming]:
    """Largest first."""
    near = [
        speed
        for speed in table.timings
        if table.end_to_end_fps(speed) >= NEAR_TARGET_SHARE * target
    ]
    return sorted(near, key=lambda speed: speed.capacity_key, reverse=True)


def _measure_candidate_fps(benchmark: CandidateBenchmark, candidate: Candidate) -> float:
    benchmark.on_progress(f"source to sink with {candidate}")
    with tempfile.TemporaryDirectory(prefix="cgt-candidate-") as folder:
        path = export_random_student(candidate, benchmark.precision, Path(folder))
        return measure_run(path, benchmark.engine, benchmark.size, benchmark.video).fps


def target_missed_error(
    fps: float, target: float, benchmark: CandidateBenchmark
) -> QualityError | None:
    """fps: of a finished student, from `measure_run`. None where it reaches `target`; else what to
    raise once it is saved. It names the largest candidate that is known to reach it."""
    if fps >= target:
        return None
    try:
        found = choose_from_table(benchmark.load_cached(), target, benchmark.teacher)
        closest = f"{found.candidate} reaches {found.fps:.1f} by the table of `cgt distill --list-candidates`"
    except QualityError:
        closest = "`cgt distill --list-candidates` measures which one reaches it"
    return QualityError(
        f"the student runs at {fps:.1f} frames/s from source to sink, below the target of "
        f"{target:g}; {closest}"
    )


def no_candidate_error(
    table: LatencyTable, target: float, tried: dict[Candidate, float] | None = None
) -> QualityError:
    """None of the candidates reaches the target."""
    if not table.timings:
        return QualityError("the table has no candidate; measure with `cgt bench --candidates`")
    quickest = max(table.timings, key=lambda speed: speed.fps)
    fps = (tried or {}).get(quickest.candidate, table.end_to_end_fps(quickest))
    rest = (
        f"; all but the network takes {table.overhead.seconds_per_frame * 1e3:.1f} ms a frame"
        if table.overhead
        else ""
    )
    return QualityError(
        f"no student reaches {target:g} frames/s at {table.size[0]}x{table.size[1]} in "
        f"{table.precision}: the closest, {quickest.candidate}, runs at {fps:.1f}{rest}. Lower "
        "--target-fps or --size"
    )
