"""Smoke test of the kernel benchmark: it runs, prints and writes JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest


def test_prints_the_table_and_writes_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("PIL")
    kernels = pytest.importorskip("benchmarks.suites.kernels")
    monkeypatch.setattr(kernels, "NUM_ROUNDS", 1)
    monkeypatch.setattr(kernels, "RUNS_PER_ROUND", 2)
    monkeypatch.setattr(kernels, "COPY_BYTES", 1 << 20)
    monkeypatch.setattr(sys, "argv", ["kernels", "--json", str(tmp_path / "kernels.json")])
    kernels.main()
    report = json.loads((tmp_path / "kernels.json").read_text(encoding="utf-8"))
    assert report["copy_gigabytes_per_second"] > 0
    assert len(report["kernels"]) == len(kernels.kernel_benchmarks())
    printed = capsys.readouterr().out
    for kernel in report["kernels"]:
        assert kernel["milliseconds"] > 0
        assert kernel["min_bytes"] > 0
        assert set(kernel["ratios"]) == set(kernel["baselines"]) != set()
        assert kernel["kernel"] in printed
