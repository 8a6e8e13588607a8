"""Is B slower than A? The ratio of what they reach undisturbed, with a bootstrap interval.

What else happens on a machine only ever makes a program slower, so the quick runs say what the
program does and the slow ones what its neighbours did (Chen and Revels, "Robust Benchmarking in
Noisy Environments" (2016)): of a session the tenth percentile is taken, of a report the geometric
mean of its quickest quarter of sessions.

Three things make two runs of the same program differ: its runs within a process (bursts of noise,
so whole rounds are resampled, never single runs), its processes (so whole sessions are resampled),
and the machine itself between the two reports. The bootstrap sees the first two; few sessions make
its percentiles too narrow, so they are taken further out (Hesterberg, "What Teachers Should Know
About the Bootstrap" (2015), section 3.3). The third is what the yardstick is for: the interval is
stretched to hold both the ratio as measured and the ratio by the yardstick.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from .results import Report, Result, Session

RESAMPLES = 4000
INNER = 100
CONFIDENCE = 0.98  # of twenty comparisons of the same thing, all should find nothing
FLOOR = 1.03  # what is within 3 % is called equal: placement and clocks alone do that
QUICK = 0.1  # the percentile of a session's runs
QUIETEST = 0.25  # the share of sessions

LATENCY = "latency p10"

_FURTHEST = 1e-6

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """Ratios are B by A: above 1 is slower for times, faster for rates."""

    label: str
    what: str  # LATENCY or "throughput, 2 streams"
    a: float
    b: float
    ratio: float
    low: float
    high: float
    machine: float  # how much slower the yardstick was in B
    larger_is_better: bool = False

    @property
    def verdict(self) -> str:
        """ "faster", "slower" or "no difference shown", of B."""
        if self.low > 1 and self.ratio > FLOOR:
            return "faster" if self.larger_is_better else "slower"
        if self.high < 1 and self.ratio < 1 / FLOOR:
            return "slower" if self.larger_is_better else "faster"
        return "no difference shown"


def compare(a: Report, b: Report) -> list[Comparison]:
    """Every configuration that both have, latency and each throughput."""
    found: list[Comparison] = []
    others = {result.key: result for result in b.results}
    for first in a.results:
        second = others.get(first.key)
        if second is None:
            continue
        found.append(compare_results(first, second, LATENCY, session_latency))
        for streams in sorted(first.throughput().keys() & second.throughput().keys()):
            what = f"throughput, {streams} stream{'s' * (streams != 1)}"
            found.append(compare_results(first, second, what, session_throughput(streams), True))
    return found


Draw = Callable[[Session, np.random.Generator | None], float]
"""What a session measured; with a generator, what a resample of it would have."""


def session_latency(session: Session, random: np.random.Generator | None = None) -> float:
    """Of its quick runs, milliseconds; rounds are drawn with replacement."""
    rounds = [np.asarray(r.ms) for r in session.rounds]
    if random is not None:
        rounds = [rounds[i] for i in random.integers(len(rounds), size=len(rounds))]
    return float(np.quantile(np.concatenate(rounds), QUICK))


def session_throughput(streams: int) -> Draw:
    """Frames per second: one figure per session."""

    def draw(session: Session, _random: np.random.Generator | None = None) -> float:
        return next(o.fps for o in session.overlaps if o.streams == streams)

    return draw


def compare_results(a: Result, b: Result, what: str, draw: Draw, rate: bool = False) -> Comparison:
    """draw: session_latency or a session_throughput; rate: whether larger is better."""
    random = np.random.default_rng(0)
    levels = [_level(np.log([draw(s, None) for s in r.sessions]), rate) for r in (a, b)]
    middle = float(levels[1] - levels[0])
    ratios = resampled(b, draw, rate, random) - resampled(a, draw, rate, random)
    low, high = -math.inf, math.inf  # one session says nothing of how sessions differ
    if min(len(a.sessions), len(b.sessions)) > 1:
        tail = expanded_tail(len(a.sessions), len(b.sessions))
        # Few sessions have few distinct resamples: beyond these the tail is that of a normal.
        reach = -NormalDist().inv_cdf(tail) * float(ratios.std())
        low = min(float(np.quantile(ratios, tail)), middle - reach)
        high = max(float(np.quantile(ratios, 1 - tail)), middle + reach)
    machine = yardstick(b) / yardstick(a)
    shift = math.log(machine) * (1 if rate else -1)  # a slow machine lowers a rate
    return Comparison(
        a.label,
        what,
        math.exp(levels[0]),
        math.exp(levels[1]),
        math.exp(middle),
        math.exp(low + min(shift, 0)),
        math.exp(high + max(shift, 0)),
        machine,
        rate,
    )


def _level(sessions: Floats, rate: bool) -> Floats:
    """Along the last axis, the mean of the quickest."""
    count = math.ceil(sessions.shape[-1] * QUIETEST)
    ordered = np.sort(sessions)
    level: Floats = (ordered[..., -count:] if rate else ordered[..., :count]).mean(-1)
    return level


def resampled(result: Result, draw: Draw, rate: bool, random: np.random.Generator) -> Floats:
    """RESAMPLES logarithms of the level: sessions drawn with replacement, and of each a resample
    drawn from INNER of it."""
    inner = np.log([[draw(s, random) for _ in range(INNER)] for s in result.sessions])
    count = len(result.sessions)
    sessions = random.integers(count, size=(RESAMPLES, count))
    return _level(inner[sessions, random.integers(INNER, size=(RESAMPLES, count))], rate)


def yardstick(result: Result) -> float:
    """Milliseconds that the fixed piece of work took, as the sessions' quick runs."""
    quick = [np.quantile([r.yardstick_ms for r in s.rounds], QUICK) for s in result.sessions]
    return math.exp(_level(np.log(quick), False))


def expanded_tail(a: int, b: int) -> float:
    """The quantile at which an interval of CONFIDENCE ends when `a` and `b` sessions were
    resampled, two of each at least."""
    least = min(a, b)
    narrow = math.sqrt(least / (least - 1))
    reach = narrow * student_quantile(1 - (1 - CONFIDENCE) / 2, a + b - 2)
    return max(_FURTHEST, NormalDist().cdf(-reach))


def student_quantile(p: float, df: int) -> float:
    """Of Student's t: Abramowitz and Stegun 26.7.5; exact for 2 degrees of freedom, the fewest."""
    if df == 2:
        return (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p)))
    z = NormalDist().inv_cdf(p)
    terms = (
        z,
        (z**3 + z) / (4 * df),
        (5 * z**5 + 16 * z**3 + 3 * z) / (96 * df**2),
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * df**3),
    )
    return sum(terms)


def remarks(a: Report, b: Report, found: Sequence[Comparison]) -> list[str]:
    """What else differs between the two, and so may be why."""
    lines = []
    drift = max((c.machine for c in found), key=lambda ratio: abs(math.log(ratio)))
    if abs(math.log(drift)) > math.log(FLOOR):
        lines.append(
            f"the machine itself was {max(drift, 1 / drift):.2f} times as "
            f"{'slow' if drift > 1 else 'fast'} in B by the yardstick; the intervals include that"
        )
    for name in ("cpu", "board", "gpus", "cores_usable", "governor", "power_mode", "versions"):
        if a.machine.get(name) != b.machine.get(name):
            lines.append(f"{name} differs: {a.machine.get(name)} and {b.machine.get(name)}")
    least = min(len(r.sessions) for report in (a, b) for r in report.results)
    if least < 3:
        lines.append(f"only {least} session(s): too few to tell small differences")
    return lines
