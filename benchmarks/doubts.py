"""What makes a figure doubtful, in the spirit of trtexec: said beside the figures."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .results import DeviceTimes, Report, Result

VARIATION = 0.10  # coefficient of variation
SHARE = 0.10  # of the cores
STOLEN = 0.02
SLOWDOWN = 1.10  # of the last rounds against the first
FEW_RUNS = 100  # below which a 99th percentile is one of the two slowest runs
GOVERNORS = ("powersave", "schedutil", "ondemand", "conservative")  # that lower clocks


@dataclass(frozen=True)
class Doubt:
    """About one result. severity: of two of a kind, the larger is told."""

    kind: str
    severity: float
    text: str


def warn(report: Report) -> list[str]:
    """All doubts of a report, one line for each kind."""
    kinds: dict[str, list[tuple[Doubt, Result]]] = {}
    for result in report.results:
        for doubt in doubts(result):
            if doubt.kind == "precision" and report.matrix:
                continue  # its table says it in a column
            kinds.setdefault(doubt.kind, []).append((doubt, result))
    lines = _machine(report.machine, report.before, report.after)
    for kind, found in kinds.items():
        worst, result = max(found, key=lambda pair: pair[0].severity)
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        lines.append(f"{kind}: {worst.text} ({result.label}{more})")
    return lines


def doubts(result: Result) -> Iterator[Doubt]:
    """About one configuration."""
    if result.variation > VARIATION:
        yield Doubt(
            "unstable",
            result.variation,
            f"the coefficient of variation is {result.variation:.0%}; close other programs or "
            "take longer (--seconds)",
        )
    others = result.others or 0.0
    if others > SHARE:
        yield Doubt("loaded", others, f"other programs used {others:.0%} of the cores meanwhile")
    stolen = [r.stolen for s in result.sessions for r in s.rounds if r.stolen is not None]
    share = float(np.mean(stolen)) if stolen else 0.0
    if share > STOLEN:
        yield Doubt("stolen", share, f"the hypervisor gave {share:.0%} of the cores to others")
    slower = _slowdown(result)
    if slower > SLOWDOWN and others <= SHARE:
        yield Doubt("throttled?", slower, f"sessions end {slower:.2f} times slower than they begin")
    runs = len(result.samples)
    if runs < FEW_RUNS:
        yield Doubt("few runs", -runs, f"p99 of {runs} runs is hardly more than their maximum")
    wanted = result.asked if result.asked != "auto" else result.graph
    if result.precision not in (wanted, "unknown"):
        yield Doubt("precision", 0, f"computed in {result.precision}, the file is {result.graph}")
    if result.limit and (share := result.limit["seconds"] * 1e3 / result.percentile(50)) > 1:
        yield Doubt("above the limit", share, "the peak was measured while the machine was slower")
    if result.sessions[0].device_times:
        yield from _device(result.sessions[0].device_times)


def _machine(machine: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    lines = []
    if after.get("throttled_count", 0) > before.get("throttled_count", 0):
        lines.append("throttled: the CPU was slowed down for heat; cool it or lower its clocks")
    for gpu in after.get("gpus", []):
        reasons = gpu.get("clocks_throttle_reasons.active", "0x0")
        # Bit 0 is "idle", bit 1 "as the application's clocks ask".
        if reasons.startswith("0x") and int(reasons, 16) & ~0b11:
            lines.append(f"throttled: the GPU says {reasons} (nvidia-smi -q -d PERFORMANCE)")
    if machine.get("governor") in GOVERNORS:
        lines.append(f"clocks: the governor is {machine['governor']}; `performance` keeps them up")
    if after.get("on_battery"):
        lines.append("clocks: the machine runs on its battery")
    return lines


def _slowdown(result: Result) -> float:
    """Last round by first, median of the sessions."""
    return statistics.median(
        float(np.median(s.rounds[-1].ms) / np.median(s.rounds[0].ms)) for s in result.sessions
    )


def _device(times: DeviceTimes) -> Iterator[Doubt]:
    parts = (times.h2d, times.compute, times.d2h, times.enqueue)
    h2d, compute, d2h, enqueue = map(statistics.median, parts)
    if (copies := h2d + d2h) > compute:
        yield Doubt(
            "transfer bound",
            copies / compute,
            f"copying takes {copies:.2f} ms, computing {compute:.2f}; uint8 tensors are a quarter",
        )
    if enqueue > compute:
        yield Doubt(
            "enqueue bound",
            enqueue / compute,
            f"the host takes {enqueue:.2f} ms to ask for {compute:.2f} ms of work; a CUDA graph "
            "asks once",
        )
