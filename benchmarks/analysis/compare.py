"""Statistical comparison of two reports: ratios of B to A with bootstrap intervals.

Other activity on a machine only ever slows a program down. The fast runs therefore show what the
program does, and the slow runs what its neighbors did (Chen and Revels, "Robust Benchmarking in
Noisy Environments" (2016)). A session is represented by its tenth percentile, a report by the
geometric mean of its fastest quarter of sessions.

Two measurements of the same program differ for three reasons: the runs within a process (noise
comes in bursts, so whole rounds are resampled, never single runs), the processes (so whole sessions
are resampled), and the machine, which changes between the two reports. The bootstrap sees the first
two. Few sessions make its percentiles too narrow, so they are taken further out (Hesterberg, "What
Teachers Should Know About the Bootstrap" (2015), section 3.3). The reference workload covers the
third: the interval is extended to hold both the measured ratio and the ratio corrected by the
reference workload.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ..harness.results import BenchReport, Result, SessionResult

NUM_RESAMPLES = 4000
NUM_INNER_RESAMPLES = 100
CONFIDENCE = 0.98  # twenty comparisons of a program with itself should all find no difference
MIN_RATIO = 1.03  # placement and clocks alone cause differences of 3 %
FAST_QUANTILE = 0.1  # quantile of a session's runs
FASTEST_FRACTION = 0.25  # share of the sessions

LATENCY_METRIC = "latency p10"

_MIN_TAIL = 1e-6

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """Ratio of one metric, B to A: above 1 is slower for times, faster for rates."""

    label: str
    metric: str  # LATENCY_METRIC or "throughput, 2 streams"
    a: float
    b: float
    ratio: float
    low: float
    high: float
    machine_ratio: float  # time of the reference workload, B to A
    larger_is_better: bool = False

    @property
    def result(self) -> str:
        """Describe B: "faster", "slower" or "no difference shown"."""
        if self.low > 1 and self.ratio > MIN_RATIO:
            return "faster" if self.larger_is_better else "slower"
        if self.high < 1 and self.ratio < 1 / MIN_RATIO:
            return "slower" if self.larger_is_better else "faster"
        return "no difference shown"


def compare_reports(a: BenchReport, b: BenchReport) -> list[Comparison]:
    """Compare latency and throughput of each configuration that both reports contain.

    Args:
        a: Baseline report.
        b: Report to compare with it.

    Returns:
        One comparison for each metric of each common configuration.
    """
    comparisons: list[Comparison] = []
    others = {result.key: result for result in b.results}
    for first in a.results:
        second = others.get(first.key)
        if second is None:
            continue
        comparisons.append(compare_results(first, second, LATENCY_METRIC, session_latency))
        for streams in sorted(first.throughput().keys() & second.throughput().keys()):
            metric = f"throughput, {streams} stream{'s' * (streams != 1)}"
            comparisons.append(
                compare_results(first, second, metric, session_throughput(streams), True)
            )
    return comparisons


SessionStatistic = Callable[[SessionResult, np.random.Generator | None], float]
"""Returns the metric of a session; with a generator, the metric of a bootstrap resample of it."""


def session_latency(session: SessionResult, random: np.random.Generator | None = None) -> float:
    """Return the FAST_QUANTILE of a session's runs in milliseconds; rounds are resampled."""
    rounds = [np.asarray(r.ms) for r in session.rounds]
    if random is not None:
        rounds = [rounds[i] for i in random.integers(len(rounds), size=len(rounds))]
    return float(np.quantile(np.concatenate(rounds), FAST_QUANTILE))


def session_throughput(streams: int) -> SessionStatistic:
    """Return a statistic of a session: its frames per second with `streams` calls in flight."""

    def throughput_of(session: SessionResult, _random: np.random.Generator | None = None) -> float:
        return next(o.fps for o in session.throughput_runs if o.streams == streams)

    return throughput_of


def compare_results(
    a: Result, b: Result, metric: str, statistic: SessionStatistic, larger_is_better: bool = False
) -> Comparison:
    """Compare one metric of two results.

    Args:
        a: Baseline result.
        b: Result to compare with it.
        metric: Name to show.
        statistic: `session_latency` or what `session_throughput` returned.
        larger_is_better: True for rates.
    """
    random = np.random.default_rng(0)
    levels = [
        _fastest_mean(np.log([statistic(s, None) for s in r.sessions]), larger_is_better)
        for r in (a, b)
    ]
    middle = float(levels[1] - levels[0])
    ratios = bootstrap_levels(b, statistic, larger_is_better, random) - bootstrap_levels(
        a, statistic, larger_is_better, random
    )
    low, high = -math.inf, math.inf  # one session does not show how sessions differ
    if min(len(a.sessions), len(b.sessions)) > 1:
        tail = expanded_tail(len(a.sessions), len(b.sessions))
        # Few sessions have few distinct resamples; a normal distribution extends the tail.
        reach = -NormalDist().inv_cdf(tail) * float(ratios.std())
        low = min(float(np.quantile(ratios, tail)), middle - reach)
        high = max(float(np.quantile(ratios, 1 - tail)), middle + reach)
    machine_ratio = reference_load_ms(b) / reference_load_ms(a)
    # A slow machine increases times and lowers rates.
    shift = math.log(machine_ratio) * (1 if larger_is_better else -1)
    return Comparison(
        a.label,
        metric,
        math.exp(levels[0]),
        math.exp(levels[1]),
        math.exp(middle),
        math.exp(low + min(shift, 0)),
        math.exp(high + max(shift, 0)),
        machine_ratio,
        larger_is_better,
    )


def _fastest_mean(sessions: FloatArray, larger_is_better: bool) -> FloatArray:
    """Return the mean of the fastest sessions along the last axis."""
    count = math.ceil(sessions.shape[-1] * FASTEST_FRACTION)
    ordered = np.sort(sessions)
    level: FloatArray = (ordered[..., -count:] if larger_is_better else ordered[..., :count]).mean(
        -1
    )
    return level


def bootstrap_levels(
    result: Result, statistic: SessionStatistic, larger_is_better: bool, random: np.random.Generator
) -> FloatArray:
    """Return NUM_RESAMPLES bootstrap replicates of the logarithm of a result's level.

    Sessions are drawn with replacement. Each drawn session contributes one of its own
    NUM_INNER_RESAMPLES resamples.
    """
    inner = np.log(
        [[statistic(s, random) for _ in range(NUM_INNER_RESAMPLES)] for s in result.sessions]
    )
    count = len(result.sessions)
    sessions = random.integers(count, size=(NUM_RESAMPLES, count))
    return _fastest_mean(
        inner[sessions, random.integers(NUM_INNER_RESAMPLES, size=(NUM_RESAMPLES, count))],
        larger_is_better,
    )


def reference_load_ms(result: Result) -> float:
    """Return the reference workload's milliseconds, reduced in the same way as latency."""
    fast = [
        np.quantile([r.reference_load_ms for r in s.rounds], FAST_QUANTILE) for s in result.sessions
    ]
    return math.exp(_fastest_mean(np.log(fast), False))


def expanded_tail(a: int, b: int) -> float:
    """Return the quantile that ends a CONFIDENCE interval for `a` and `b` resampled sessions.

    Both counts are at least two.
    """
    least = min(a, b)
    narrow = math.sqrt(least / (least - 1))
    reach = narrow * student_t_quantile(1 - (1 - CONFIDENCE) / 2, a + b - 2)
    return max(_MIN_TAIL, NormalDist().cdf(-reach))


def student_t_quantile(p: float, df: int) -> float:
    """Return the p-quantile of Student's t distribution.

    The expansion is Abramowitz and Stegun 26.7.5. Two degrees of freedom, the fewest, are exact.
    """
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


def environment_differences(
    a: BenchReport, b: BenchReport, comparisons: Sequence[Comparison]
) -> list[str]:
    """Describe other differences between the reports that may explain a ratio."""
    lines = []
    drift = max((c.machine_ratio for c in comparisons), key=lambda ratio: abs(math.log(ratio)))
    if abs(math.log(drift)) > math.log(MIN_RATIO):
        lines.append(
            f"the reference workload was {max(drift, 1 / drift):.2f} times as "
            f"{'slow' if drift > 1 else 'fast'} in B; the intervals include this"
        )
    for name in ("cpu", "board", "gpus", "cores_usable", "governor", "power_mode", "versions"):
        if a.machine.get(name) != b.machine.get(name):
            lines.append(f"{name} differs: {a.machine.get(name)} and {b.machine.get(name)}")
    least = min(len(r.sessions) for report in (a, b) for r in report.results)
    if least < 3:
        lines.append(f"only {least} session(s): too few to detect small differences")
    return lines
