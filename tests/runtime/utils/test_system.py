"""Facts about this machine, with stand-ins for /proc and nvidia-smi."""

from pathlib import Path

import numpy as np
import pytest

from cgt.runtime.utils import system


def test_package_versions() -> None:
    assert system.package_version("no-such-package", "numpy") == np.__version__
    assert system.package_version("no-such-package") == ""
    assert system.package_versions(["numpy", "no-such-package"]) == {"numpy": np.__version__}


def test_cpuinfo(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nmodel name\t: CPU: 9\nmodel\t\t: 7\n")
    assert system.cpuinfo_value("model name", tmp_path) == "CPU: 9"
    assert system.cpuinfo_value("model", tmp_path) == "7"
    assert system.cpuinfo_value("flags", tmp_path) == ""
    assert system.cpuinfo_value("model name", tmp_path / "missing") == ""


def test_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "nvidia-smi"
    script.write_text("#!/bin/sh\necho 'GPU A, 550.1'\necho 'GPU B, 550.1'\necho 'a warning'\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert system.query_nvidia_smi(("name", "driver_version")) == [
        {"name": "GPU A", "driver_version": "550.1"},
        {"name": "GPU B", "driver_version": "550.1"},
    ]
    script.write_text("#!/bin/sh\nexit 9\n")
    assert system.query_nvidia_smi(("name",)) == []


def test_a_missing_command_has_no_output() -> None:
    assert system.command_output(("no-such-command",)) is None


def test_peak_memory_is_in_bytes() -> None:
    assert 2**24 < system.peak_memory_bytes() < 2**44
