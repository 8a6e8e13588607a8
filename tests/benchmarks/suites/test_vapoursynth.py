"""The VapourSynth baseline: where it is left out, and its table."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.suites import vapoursynth
from benchmarks.suites.vapoursynth import RunCost, find_python, format_row, install_vapoursynth
from cgt.runtime.errors import EngineError, MissingDependency


def test_it_is_left_out_without_a_new_python(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(vapoursynth, "_MIN_PYTHON", (4, 0))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    with pytest.raises(MissingDependency, match=r"needs Python 3\.12 or newer"):
        find_python()


def test_a_python_of_pyenv_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python = tmp_path / "versions" / "3.99.0" / "bin" / "python3"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 0\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert find_python() == str(python)


def test_it_is_left_out_without_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingDependency, match="install ffmpeg"):
        install_vapoursynth()


def test_a_row_has_medians_and_the_ratio_of_speeds() -> None:
    ours = [RunCost(s, 2 * s, (200.0,), 100) for s in (2.0, 1.0, 4.0)]
    theirs = [RunCost(s, s, (300.0, 60.0), 100) for s in (3.0, 2.0, 4.0)]
    row = format_row("m", ours, theirs)
    assert row == "| m | 50.0 | 33.3 | **1.50** | 4.00 | 3.00 | 200 | 300 + 60 |"


def test_processes_are_connected_and_failures_are_named(tmp_path: Path) -> None:
    out = tmp_path / "out"
    commands = [["sh", "-c", "echo broken >&2; exit 3"], ["cat"]]
    with pytest.raises(EngineError, match="sh failed: broken"):
        vapoursynth._run_connected(commands, out, {"PATH": "/usr/bin:/bin"})
