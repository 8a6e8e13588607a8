"""Warnings about unreliable measurements, in the spirit of trtexec; shown next to the results."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .results import BenchReport, DeviceTimes, Result

MAX_VARIATION = 0.10  # coefficient of variation
MAX_OTHER_LOAD = 0.10  # share of the cores
MAX_STEAL = 0.02
MAX_SLOWDOWN = 1.10  # last round divided by first
MIN_RUNS_FOR_P99 = 100  # with fewer, p99 is one of the two slowest runs
POWER_SAVING_GOVERNORS = (
    "powersave",
    "schedutil",
    "ondemand",
    "conservative",
)  # they lower the clocks


@dataclass(frozen=True)
class MeasurementWarning:
    """One warning about one result; of several of a kind, the most severe is shown."""

    kind: str
    severity: float
    text: str


def collect_warnings(report: BenchReport) -> list[str]:
    """Return all warnings of a report, one line for each kind."""
    kinds: dict[str, list[tuple[MeasurementWarning, Result]]] = {}
    for result in report.results:
        for warning in result_warnings(result):
            if warning.kind == "precision" and report.matrix:
                continue  # the matrix has a column for it
            kinds.setdefault(warning.kind, []).append((warning, result))
    lines = _machine_warnings(report.machine, report.before, report.after)
    for kind, entries in kinds.items():
        worst, result = max(entries, key=lambda pair: pair[0].severity)
        more = f" and {len(entries) - 1} more" if len(entries) > 1 else ""
        lines.append(f"{kind}: {worst.text} ({result.label}{more})")
    return lines


def result_warnings(result: Result) -> Iterator[MeasurementWarning]:
    """Yield the warnings of one configuration."""
    if result.variation > MAX_VARIATION:
        yield MeasurementWarning(
            "unstable",
            result.variation,
            f"the coefficient of variation is {result.variation:.0%}; close other programs or "
            "measure longer (--seconds)",
        )
    other_load = result.other_load or 0.0
    if other_load > MAX_OTHER_LOAD:
        yield MeasurementWarning(
            "loaded", other_load, f"other programs used {other_load:.0%} of the cores"
        )
    steals = [r.steal for s in result.sessions for r in s.rounds if r.steal is not None]
    share = float(np.mean(steals)) if steals else 0.0
    if share > MAX_STEAL:
        yield MeasurementWarning(
            "steal time",
            share,
            f"the hypervisor gave {share:.0%} of the cores to other virtual machines",
        )
    slower = _slowdown(result)
    if slower > MAX_SLOWDOWN and other_load <= MAX_OTHER_LOAD:
        yield MeasurementWarning(
            "throttled?", slower, f"sessions end {slower:.2f} times slower than they begin"
        )
    runs = len(result.samples)
    if runs < MIN_RUNS_FOR_P99:
        yield MeasurementWarning(
            "few runs", -runs, f"p99 of {runs} runs is hardly different from their maximum"
        )
    expected = (
        result.requested_precision
        if result.requested_precision != "auto"
        else result.file_precision
    )
    if result.precision not in (expected, "unknown"):
        yield MeasurementWarning(
            "precision",
            0,
            f"the engine computes in {result.precision}, the file is {result.file_precision}",
        )
    if result.limit and (share := result.limit["seconds"] * 1e3 / result.percentile(50)) > 1:
        yield MeasurementWarning(
            "above the roofline", share, "the peak was measured while the machine was slower"
        )
    if result.sessions[0].device_times:
        yield from _device_warnings(result.sessions[0].device_times)


def _machine_warnings(
    machine: dict[str, Any], before: dict[str, Any], after: dict[str, Any]
) -> list[str]:
    lines = []
    if after.get("throttled_count", 0) > before.get("throttled_count", 0):
        lines.append(
            "throttled: the CPU was slowed down because of heat; cool it or lower its clocks"
        )
    for gpu in after.get("gpus", []):
        reasons = gpu.get("clocks_throttle_reasons.active", "0x0")
        # Bit 0 is "idle", bit 1 "application clocks setting".
        if reasons.startswith("0x") and int(reasons, 16) & ~0b11:
            lines.append(f"throttled: the GPU reports {reasons} (nvidia-smi -q -d PERFORMANCE)")
    if machine.get("governor") in POWER_SAVING_GOVERNORS:
        lines.append(
            f"clocks: the governor is {machine['governor']}; `performance` keeps the clocks high"
        )
    if after.get("on_battery"):
        lines.append("clocks: the machine runs on battery")
    return lines


def _slowdown(result: Result) -> float:
    """Return the last round's time divided by the first's, as the median of the sessions."""
    return statistics.median(
        float(np.median(s.rounds[-1].ms) / np.median(s.rounds[0].ms)) for s in result.sessions
    )


def _device_warnings(times: DeviceTimes) -> Iterator[MeasurementWarning]:
    steps = (times.h2d, times.compute, times.d2h, times.enqueue)
    h2d, compute, d2h, enqueue = map(statistics.median, steps)
    if (copies := h2d + d2h) > compute:
        yield MeasurementWarning(
            "transfer bound",
            copies / compute,
            f"copying takes {copies:.2f} ms, computing {compute:.2f} ms; uint8 tensors are a "
            "quarter of the size",
        )
    if enqueue > compute:
        yield MeasurementWarning(
            "enqueue bound",
            enqueue / compute,
            f"the host takes {enqueue:.2f} ms to submit {compute:.2f} ms of work; a CUDA graph "
            "submits it in one call",
        )
