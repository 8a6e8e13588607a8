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
from cgt.trainer.config import GeneratorConfig
from cgt.trainer.distill.family import Candidate, Kind, family, pruned_family

from .candidates import Measuring, typical
from .latency_table import Speed, Table
from .pipeline_cost import measure_run
from .random_students import export_random


@dataclass(frozen=True)
class Choice:
    """What to train, and why. fps: from source to sink, measured with random weights, where it was
    measured here; else estimated."""

    candidate: Candidate
    speed: Speed
    fps: float
    measured: bool
    target: float
    table: Table

    def __str__(self) -> str:
        how = "measured" if self.measured else "estimated"
        return (
            f"{self.candidate}: {self.fps:.1f} frames/s from source to sink ({how}, random "
            f"weights), {self.speed.fps:.1f} alone, target {self.target:g}"
        )


def choose(table: Table, target: float, teacher: GeneratorConfig | None = None) -> Choice:
    """From a table, perhaps of another machine; of pruned students, those of this teacher. Raises
    QualityError, naming the closest candidate, where none reaches `target` frames per second, and
    where there is none."""
    own = set(pruned_family(teacher)) if teacher else set()
    open_to = [s for s in table.speeds if s.layout is None or s.candidate in own]
    table = replace(table, speeds=tuple(open_to))
    good = [speed for speed in table.speeds if table.end_to_end(speed) >= target]
    if not good:
        raise too_slow(table, target)
    best = max(good, key=lambda speed: speed.order)
    return Choice(best.candidate, best, table.end_to_end(best), False, target, table)


def search(measuring: Measuring, target: float, kinds: Sequence[Kind] = ()) -> Choice:
    """The same by measuring here, as few candidates as will do. kinds: of new ones, by default
    all. Raises QualityError as `choose` does; measuring.table has what was measured in any case."""
    needed = measuring.cost(typical()).needed(target)
    tried: dict[Candidate, float] = {}
    for chains in ([measuring.pruned], family(*kinds)):
        for chain in chains:
            widest(measuring, chain, needed)
        mine = {candidate for chain in chains for candidate in chain}
        for speed in _worth_trying(measuring.table, target):
            if speed.candidate not in mine:
                continue
            fps = _from_source_to_sink(measuring, speed.candidate)
            tried[speed.candidate] = fps
            if fps >= target:
                return Choice(speed.candidate, speed, fps, True, target, measuring.table)
    raise too_slow(measuring.table, target, tried)


def widest(measuring: Measuring, chain: Sequence[Candidate], needed: float) -> Candidate | None:
    """The last of a chain, from small to large, that runs `needed` frames per second alone."""
    low, high = 0, len(chain)  # all below `low` reach it, none from `high` on does
    while low < high:
        middle = (low + high) // 2
        if measuring.speed(chain[middle]).fps >= needed:
            low = middle + 1
        else:
            high = middle
    return chain[low - 1] if low else None


NEAR = 0.9
"""Share of the target from which on an estimate may turn out to reach it."""


def _worth_trying(table: Table, target: float) -> list[Speed]:
    """Largest first."""
    near = [speed for speed in table.speeds if table.end_to_end(speed) >= NEAR * target]
    return sorted(near, key=lambda speed: speed.order, reverse=True)


def _from_source_to_sink(measuring: Measuring, candidate: Candidate) -> float:
    measuring.tell(f"source to sink with {candidate}")
    with tempfile.TemporaryDirectory(prefix="cgt-candidate-") as folder:
        path = export_random(candidate, measuring.precision, Path(folder))
        return measure_run(path, measuring.engine, measuring.size, measuring.video).fps


def missed(fps: float, target: float, measuring: Measuring) -> QualityError | None:
    """fps: of a finished student, from `measure_run`. None where it reaches `target`; else what to
    raise once it is saved. It names the largest candidate that is known to reach it."""
    if fps >= target:
        return None
    try:
        found = choose(measuring.recall(), target, measuring.teacher)
        closest = f"{found.candidate} reaches {found.fps:.1f} by the table of `cgt distill --list`"
    except QualityError:
        closest = "`cgt distill --list` measures which one reaches it"
    return QualityError(
        f"the student runs at {fps:.1f} frames/s from source to sink, below the target of "
        f"{target:g}; {closest}"
    )


def too_slow(
    table: Table, target: float, tried: dict[Candidate, float] | None = None
) -> QualityError:
    """None of the candidates reaches the target."""
    if not table.speeds:
        return QualityError("the table has no candidate; measure with `cgt bench --candidates`")
    quickest = max(table.speeds, key=lambda speed: speed.fps)
    fps = (tried or {}).get(quickest.candidate, table.end_to_end(quickest))
    rest = (
        f"; all but the network takes {table.cost.seconds * 1e3:.1f} ms a frame"
        if table.cost
        else ""
    )
    return QualityError(
        f"no student reaches {target:g} frames/s at {table.size[0]}x{table.size[1]} in "
        f"{table.precision}: the closest, {quickest.candidate}, runs at {fps:.1f}{rest}. Lower "
        "--target-fps or --size"
    )
