"""Smoke test of the kernel benchmark: it runs, prints and writes JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from cgt.runtime.image.preprocess import resize
from cgt.runtime.image.upsample import upsample_guided


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
        assert set(kernel["ratios"]) == set(kernel["baselines"])
        assert kernel["baselines"] or kernel["kernel"].startswith("  ")  # a part of the one above
        assert kernel["kernel"] in printed


def test_the_baseline_of_guided_upsampling_computes_the_same() -> None:
    pytest.importorskip("PIL")
    kernels = pytest.importorskip("benchmarks.suites.kernels")
    image = resize(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8), (180, 270))
    small = resize(image, (60, 90))
    translated = np.ascontiguousarray(255 - small[:, ::-1])
    ours = upsample_guided(image, small, translated).astype(int)
    assert np.abs(kernels.upsample_with_opencv(image, small, translated, 4, 1e-4) - ours).max() <= 1
