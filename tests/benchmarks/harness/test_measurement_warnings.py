"""Measurement warnings: one result that causes each, and results that cause none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cgt.benchmarks.harness.measurement_warnings import collect_warnings
from cgt.benchmarks.harness.results import BenchReport, DeviceTimes, Result, Round, SessionResult


def result(**changes: Any) -> Result:
    """Return 200 quiet runs with some fields changed."""
    random = np.random.default_rng(0)
    rounds = tuple(Round(i, tuple(random.normal(10, 0.1, 50)), 0.5, 0.01, 0.0) for i in range(4))
    session = SessionResult(0.5, 1 << 27, 1 << 25, rounds, (), changes.pop("device_times", None))
    fields: dict[str, Any] = {"precision": "fp32", "file_precision": "fp32", "sessions": [session]}
    return Result("m.onnx", "openvino", "CPU", size=(64, 64), batch=1, **(fields | changes))


def rounds_of(found: Result, **changes: Any) -> Result:
    session = found.sessions[0]
    found.sessions = [replace(session, rounds=tuple(replace(r, **changes) for r in session.rounds))]
    return found


def report(*results: Result, **changes: Any) -> BenchReport:
    fields: dict[str, Any] = {"machine": {}, "before": {}, "after": {}}
    return BenchReport(["cgt"], "today", results=list(results), **(fields | changes))


def ramp() -> Result:
    found = result()
    session = found.sessions[0]
    scale = (1.0, 1.1, 1.2, 1.3)
    rounds = tuple(
        replace(r, ms=tuple(ms * s for ms in r.ms))
        for r, s in zip(session.rounds, scale, strict=True)
    )
    found.sessions = [replace(session, rounds=rounds)]
    return found


DEVICE = DeviceTimes((3.0,), (2.0,), (1.0,), (1.0,))

UNRELIABLE = [
    (lambda: rounds_of(result(), ms=tuple([10.0] * 40 + [20.0] * 10)), "unstable"),
    (lambda: rounds_of(result(), other_load=0.3), "loaded: other programs used 30%"),
    (lambda: rounds_of(result(), steal=0.2), "steal time"),
    (ramp, "throttled?"),
    (lambda: rounds_of(result(), ms=(10.0, 10.0)), "few runs: p99 of 8 runs"),
    (lambda: result(precision="bf16"), "precision: the engine computes in bf16, the file"),
    (lambda: result(limit={"seconds": 0.02}), "above the roofline"),
    (lambda: result(device_times=DEVICE), "transfer bound: copying takes 4.00 ms"),
    (lambda: result(device_times=replace(DEVICE, enqueue=(5.0,))), "enqueue bound"),
]


def test_reliable_results_have_no_warnings() -> None:
    assert collect_warnings(report(result())) == []
    fast_copies = replace(DEVICE, h2d=(0.5,), d2h=(0.5,))
    assert collect_warnings(report(result(device_times=fast_copies))) == []
    assert collect_warnings(report(result(precision="bf16", requested_precision="bf16"))) == []


@pytest.mark.parametrize(("make", "words"), UNRELIABLE, ids=[words for _, words in UNRELIABLE])
def test_unreliable_result(make: Any, words: str) -> None:
    lines = collect_warnings(report(make()))
    assert any(line.startswith(words) for line in lines), lines


def test_each_kind_of_warning_has_one_line() -> None:
    some = [rounds_of(result(), other_load=share) for share in (0.2, 0.5, 0.3)]
    (line,) = collect_warnings(report(*some))
    assert "50%" in line
    assert "and 2 more" in line


@pytest.mark.parametrize(
    ("machine", "before", "after", "words"),
    [
        ({}, {"throttled_count": 3}, {"throttled_count": 4}, "throttled: the CPU"),
        ({"governor": "powersave"}, {}, {}, "clocks: the governor is powersave"),
        ({}, {}, {"on_battery": True}, "clocks: the machine runs on battery"),
        (
            {},
            {},
            {"gpus": [{"clocks_throttle_reasons.active": "0x0000000000000020"}]},
            "throttled: the GPU reports 0x",
        ),
    ],
)
def test_machine_warnings(
    machine: dict[str, Any], before: dict[str, Any], after: dict[str, Any], words: str
) -> None:
    (line,) = collect_warnings(report(result(), machine=machine, before=before, after=after))
    assert line.startswith(words)
    idle = {"gpus": [{"clocks_throttle_reasons.active": "0x0000000000000001"}]}
    assert collect_warnings(report(result(), after=idle)) == []
