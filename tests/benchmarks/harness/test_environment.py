"""Machine description, read from simulated file systems and commands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cgt.benchmarks.harness.environment import current_conditions, describe_machine, machine_summary


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def jetson(tmp_path: Path) -> Path:
    """Simulate the files of a Jetson's kernel."""
    cpu = "sys/devices/system/cpu/cpu0/"
    return write(
        tmp_path / "jetson",
        {
            "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
            "proc/meminfo": "MemTotal:        7802404 kB\nMemFree: 1 kB\n",
            f"{cpu}cpufreq/scaling_governor": "schedutil\n",
            f"{cpu}cpufreq/cpuinfo_max_freq": "1510400\n",
            f"{cpu}cpufreq/scaling_cur_freq": "1113600\n",
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
            "sys/class/thermal/thermal_zone0/temp": "48500\n",
            "sys/class/thermal/thermal_zone1/type": "off\n",
            "sys/class/thermal/thermal_zone1/temp": "-256000\n",
        },
    )


@pytest.fixture
def laptop(tmp_path: Path) -> Path:
    """Simulate the files of a laptop on battery."""
    return write(
        tmp_path / "laptop",
        {
            "proc/cpuinfo": "model name\t: Some CPU\ncpu family\t: 6\nmodel\t\t: 154\n"
            "flags\t\t: fpu vme\ncpu MHz\t\t: 3400.123\n",
            "sys/class/hwmon/hwmon0/name": "coretemp\n",
            "sys/class/hwmon/hwmon0/temp1_input": "61000\n",
            "sys/class/hwmon/hwmon0/temp1_label": "Package id 0\n",
            "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "7\n",
            "sys/class/power_supply/AC/online": "0\n",
        },
    )


def simulate_command(folder: Path, name: str, output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a command that prints `output` first in PATH."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{output}\nEND\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_jetson(jetson: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulate_command(tmp_path / "bin", "nvpmodel", "NV Power Mode: 15W\n0", monkeypatch)
    machine = describe_machine(jetson)
    assert machine["board"] == "NVIDIA Jetson Orin Nano Developer Kit"
    assert machine["governor"] == "schedutil"
    assert machine["clock_max_mhz"] == pytest.approx(1510.4)
    assert machine["memory_bytes"] == 7802404 * 1024
    assert machine["power_mode"] == "15W"
    assert "Orin Nano" in machine_summary(machine)
    assert "power mode 15W" in machine_summary(machine)
    state = current_conditions(jetson)
    assert state["temperatures_c"] == {"cpu-thermal": 48.5}
    assert state["clocks_mhz"] == [1114]


def test_laptop(laptop: Path) -> None:
    machine = describe_machine(laptop)
    assert machine["cpu"] == "Some CPU (family 6, model 154)"
    assert "virtual" not in machine
    state = current_conditions(laptop)
    assert state["temperatures_c"] == {"coretemp Package id 0": 61.0}
    assert state["throttled_count"] == 7
    assert state["on_battery"] is True
    assert state["clocks_mhz"] == [3400]


def test_gpus(laptop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = "NVIDIA H100 80GB HBM3, 550.54, 81559 MiB, 700.00 W"
    simulate_command(tmp_path / "bin", "nvidia-smi", output, monkeypatch)
    machine = describe_machine(laptop)
    assert machine["gpus"][0]["name"] == "NVIDIA H100 80GB HBM3"
    assert machine["gpus"][0]["power.limit"] == "700.00 W"
    assert "H100" in machine_summary(machine)


def test_unknown_properties_are_absent(tmp_path: Path) -> None:
    machine = describe_machine(tmp_path)
    assert machine["cpu"]
    assert machine["cores_usable"] >= 1
    assert not {"governor", "board", "memory_bytes"} & set(machine)
    assert set(current_conditions(tmp_path)) == {"load_average"}


def test_this_machine() -> None:
    machine = describe_machine()
    assert machine["versions"]["numpy"]
    assert machine_summary(machine)
