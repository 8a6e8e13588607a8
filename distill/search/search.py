"""Search for the largest student that reaches a frame rate end to end.

Candidates pruned from the teacher are preferred; the others are tried only if none of those is fast
enough. Within a variant, larger students are slower, so each variant is searched by bisection. The
best estimates are then measured end to end, largest first, until one reaches the target. The result
was always measured.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cgt.runtime.errors import QualityError
from cgt.runtime.image.geometry import format_size
from cgt.trainer.networks.config import GeneratorConfig

from .candidates import Candidate, StudentVariant, pruned_candidates, student_candidates
from .latency_table import CandidateTiming, LatencyTable
from .measure import CandidateBenchmark, export_random_student, median_candidate
from .pipeline_cost import measure_run


@dataclass(frozen=True)
class SearchResult:
    """The selected student and its speed.

    Attributes:
        candidate: the student to train.
        timing: its timing in the engine alone.
        fps: its end-to-end frames/s with random weights.
        is_measured: whether `fps` was measured on this machine, otherwise it is an estimate.
        target_fps: the frame rate it had to reach.
        table: the candidates it was selected from.
    """

    candidate: Candidate
    timing: CandidateTiming
    fps: float
    is_measured: bool
    target_fps: float
    table: LatencyTable

    def __str__(self) -> str:
        how = "measured" if self.is_measured else "estimated"
        return (
            f"{self.candidate}: {self.fps:.1f} frames/s end to end ({how}, random weights), "
            f"{self.timing.fps:.1f} in the engine alone, target {self.target_fps:g}"
        )


def choose_from_table(
    table: LatencyTable, target_fps: float, teacher: GeneratorConfig | None = None
) -> SearchResult:
    """Select a student from a table, which may be that of another machine.

    Args:
        table: the timings.
        target_fps: end-to-end frames/s to reach.
        teacher: configuration of the teacher; pruned students of others are ignored.

    Raises:
        QualityError: no candidate is fast enough; the message names the closest.
    """
    own = set(pruned_candidates(teacher)) if teacher else set()
    usable = [t for t in table.timings if t.pruned_from is None or t.candidate in own]
    table = replace(table, timings=tuple(usable))
    fast_enough = [t for t in table.timings if table.end_to_end_fps(t) >= target_fps]
    if not fast_enough:
        raise no_candidate_error(table, target_fps)
    best = max(fast_enough, key=lambda timing: timing.capacity_key)
    return SearchResult(best.candidate, best, table.end_to_end_fps(best), False, target_fps, table)


def search_students(
    benchmark: CandidateBenchmark, target_fps: float, variants: Sequence[StudentVariant] = ()
) -> SearchResult:
    """Select a student by measuring as few candidates as possible on this machine.

    Args:
        benchmark: what to measure with; its table has all timings afterwards, even on errors.
        target_fps: end-to-end frames/s to reach.
        variants: variants to try among those trained from scratch; all by default.

    Raises:
        QualityError: no candidate is fast enough; the message names the closest.
    """
    overhead = benchmark.measure_overhead(median_candidate())
    required_fps = overhead.required_engine_fps(target_fps)
    measured_fps: dict[Candidate, float] = {}
    for chains in ([benchmark.pruned_candidates], student_candidates(*variants)):
        for chain in chains:
            largest_feasible(benchmark, chain, required_fps)
        searched = {candidate for chain in chains for candidate in chain}
        for timing in _near_target(benchmark.table, target_fps):
            if timing.candidate not in searched:
                continue
            fps = _measure_candidate_fps(benchmark, timing.candidate)
            measured_fps[timing.candidate] = fps
            if fps >= target_fps:
                return SearchResult(
                    timing.candidate, timing, fps, True, target_fps, benchmark.table
                )
    raise no_candidate_error(benchmark.table, target_fps, measured_fps)


def largest_feasible(
    benchmark: CandidateBenchmark, chain: Sequence[Candidate], required_fps: float
) -> Candidate | None:
    """Return the last of a chain, sorted by size, whose engine alone reaches `required_fps`."""
    low, high = 0, len(chain)  # all below `low` are fast enough, none from `high` on is
    while low < high:
        middle = (low + high) // 2
        if benchmark.measure(chain[middle]).fps >= required_fps:
            low = middle + 1
        else:
            high = middle
    return chain[low - 1] if low else None


NEAR_TARGET_SHARE = 0.9  # estimates above this share of the target are measured end to end


def _near_target(table: LatencyTable, target_fps: float) -> list[CandidateTiming]:
    """Return the candidates that may reach the target, largest first."""
    near = [
        timing
        for timing in table.timings
        if table.end_to_end_fps(timing) >= NEAR_TARGET_SHARE * target_fps
    ]
    return sorted(near, key=lambda timing: timing.capacity_key, reverse=True)


def _measure_candidate_fps(benchmark: CandidateBenchmark, candidate: Candidate) -> float:
    benchmark.on_progress(f"end to end with {candidate}")
    with tempfile.TemporaryDirectory(prefix="cgt-candidate-") as folder:
        path = export_random_student(candidate, benchmark.precision, Path(folder))
        return measure_run(path, benchmark.engine, benchmark.size, benchmark.video).fps


def target_missed_error(
    fps: float, target_fps: float, benchmark: CandidateBenchmark
) -> QualityError | None:
    """Return the error of a finished student that is too slow, to raise after it is saved.

    Args:
        fps: its end-to-end frames/s, from `measure_run`.
        target_fps: end-to-end frames/s to reach.
        benchmark: cached timings; the message names the largest candidate that is fast enough.

    Returns:
        None if the student reaches the target.
    """
    if fps >= target_fps:
        return None
    try:
        result = choose_from_table(benchmark.load_cached(), target_fps, benchmark.teacher)
        advice = (
            f"{result.candidate} reaches {result.fps:.1f}, according to "
            "`cgt distill --list-candidates`"
        )
    except QualityError:
        advice = "find a faster student with `cgt distill --list-candidates`"
    return QualityError(
        f"the student runs at {fps:.1f} frames/s end to end, below the target of "
        f"{target_fps:g}; {advice}"
    )


def no_candidate_error(
    table: LatencyTable, target_fps: float, measured_fps: dict[Candidate, float] | None = None
) -> QualityError:
    """Return the error that no candidate is fast enough; it names the fastest.

    Args:
        table: the timings.
        target_fps: end-to-end frames/s to reach.
        measured_fps: end-to-end frames/s of candidates, where they were measured.
    """
    if not table.timings:
        return QualityError("the table has no candidate; measure with `cgt bench students`")
    fastest = max(table.timings, key=lambda timing: timing.fps)
    fps = (measured_fps or {}).get(fastest.candidate, table.end_to_end_fps(fastest))
    overhead = ""
    if table.overhead:
        overhead_ms = table.overhead.seconds_per_frame * 1e3
        overhead = f", and the pipeline without the network takes {overhead_ms:.1f} ms per frame"
    return QualityError(
        f"no student reaches {target_fps:g} frames/s at {format_size(table.size)} in "
        f"{table.precision}: the fastest, {fastest.candidate}, runs at {fps:.1f}{overhead}; lower "
        "--target-fps or --size"
    )
