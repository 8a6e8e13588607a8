"""What a benchmark ran on: the machine, and the state it was in."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cgt.runtime.engines import cores

ROOT = Path("/")
PACKAGES = (
    *("cyclegan-toolkit", "numpy", "openvino", "onnxruntime", "onnxruntime-gpu", "tensorrt"),
    *("torch", "av", "opencv-python", "opencv-python-headless"),
)
_GPU_FACTS = ("name", "driver_version", "memory.total", "power.limit")
_GPU_STATE = (
    *("temperature.gpu", "clocks.sm", "clocks.mem", "power.draw", "utilization.gpu"),
    "clocks_throttle_reasons.active",
)


def describe_machine(root: Path = ROOT) -> dict[str, Any]:
    """What does not change while a benchmark runs; facts that the system does not give are absent.

    root: where /proc, /sys and /etc are looked for.
    """
    facts: dict[str, Any] = {
        "cpu": _cpu_model(root) or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "cores_usable": cores(),
        "memory_bytes": _memory(root),
        "board": _text(root / "proc/device-tree/model"),
        "virtual": "hypervisor" in _cpuinfo(root, "flags").split() or None,
        "governor": _text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "clock_max_mhz": _number(
            root / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", 1e-3
        ),
        "power_mode": _power_mode(),
        "gpus": _nvidia_smi(_GPU_FACTS),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": versions(),
        "commit": _commit(),
        "threads": {k: v for k, v in os.environ.items() if k.endswith("_NUM_THREADS")},
    }
    return {name: fact for name, fact in facts.items() if fact not in (None, "", [], {})}


def conditions(root: Path = ROOT) -> dict[str, Any]:
    """What does change: load, clocks, temperatures, whether it was throttled."""
    facts: dict[str, Any] = {
        "load_average": list(os.getloadavg()),
        "clocks_mhz": _clocks(root),
        "temperatures_c": _temperatures(root),
        "throttled_count": _throttled(root),
        "on_battery": _on_battery(root),
        "gpus": _nvidia_smi(_GPU_STATE),
    }
    return {name: fact for name, fact in facts.items() if fact not in (None, "", [], {})}


def versions() -> dict[str, str]:
    """Of the packages that matter to speed, where they are installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def one_line(machine: dict[str, Any]) -> str:
    """The machine in a few words."""
    gpus = "".join(f", {gpu['name']}" for gpu in machine.get("gpus", []))
    memory = f", {machine['memory_bytes'] / 2**30:.0f} GiB" if "memory_bytes" in machine else ""
    mode = f", power mode {machine['power_mode']}" if "power_mode" in machine else ""
    virtual = ", virtual" if machine.get("virtual") else ""
    name = machine.get("board") or machine["cpu"]
    count = machine["cores_usable"]
    return f"{name}, {count} core{'s' * (count != 1)}{virtual}{memory}{gpus}{mode}"


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return None


def _number(path: Path, scale: float = 1.0) -> float | None:
    text = _text(path)
    try:
        return float(text) * scale if text else None
    except ValueError:
        return None


def _cpuinfo(root: Path, key: str) -> str:
    for line in (_text(root / "proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _cpu_model(root: Path) -> str:
    name = _cpuinfo(root, "model name")
    family, model = _cpuinfo(root, "cpu family"), _cpuinfo(root, "model")
    return f"{name} (family {family}, model {model})" if name and family else name


def _memory(root: Path) -> int | None:
    for line in (_text(root / "proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return None


def _clocks(root: Path) -> list[float]:
    """MHz of each core."""
    cpus = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    found = [_number(path, 1e-3) for path in cpus]
    if not found:
        lines = (_text(root / "proc/cpuinfo") or "").splitlines()
        found = [float(line.split(":")[1]) for line in lines if line.startswith("cpu MHz")]
    return [round(mhz) for mhz in found if mhz is not None]


def _temperatures(root: Path) -> dict[str, float]:
    """Degrees Celsius by sensor. Thermal zones are what a Jetson has, hwmon what a PC has."""
    found: dict[str, float] = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        degrees = _number(zone / "temp", 1e-3)
        if degrees is not None and degrees > -200:  # a sensor that is switched off says -256
            found[_text(zone / "type") or zone.name] = degrees
    for sensor in sorted((root / "sys/class/hwmon").glob("hwmon*/temp*_input")):
        degrees = _number(sensor, 1e-3)
        if degrees is not None:
            label = _text(sensor.with_name(sensor.name.replace("_input", "_label")))
            found[f"{_text(sensor.parent / 'name')} {label or sensor.stem}"] = degrees
    return found


def _throttled(root: Path) -> float | None:
    """How often any core was slowed down for heat since the machine started."""
    pattern = "cpu[0-9]*/thermal_throttle/core_throttle_count"
    counts = [_number(path) for path in (root / "sys/devices/system/cpu").glob(pattern)]
    return sum(count for count in counts if count is not None) if counts else None


def _on_battery(root: Path) -> bool | None:
    plugs = [_number(path) for path in (root / "sys/class/power_supply").glob("*/online")]
    return not any(plugs) if plugs else None


def _output(command: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _power_mode() -> str | None:
    """Jetson: "15W", as `nvpmodel -q` says it."""
    said = _output(("nvpmodel", "-q"))
    if not said:
        return None
    return next((line.split(":")[1].strip() for line in said.splitlines() if ":" in line), said)


def _nvidia_smi(keys: Sequence[str]) -> list[dict[str, str]]:
    """The facts of each GPU, with their units."""
    said = _output(("nvidia-smi", f"--query-gpu={','.join(keys)}", "--format=csv,noheader"))
    rows = [line.split(", ") for line in (said or "").splitlines()]
    return [dict(zip(keys, row, strict=True)) for row in rows if len(row) == len(keys)]


def _commit() -> str | None:
    """Of the toolkit's own checkout, where the command runs in one."""
    top = _output(("git", "rev-parse", "--show-toplevel"))
    if not top or "cyclegan-toolkit" not in (_text(Path(top) / "pyproject.toml") or ""):
        return None
    changed = _output(("git", "status", "--porcelain", "--untracked-files=no"))
    return f"{_output(('git', 'rev-parse', '--short=12', 'HEAD'))}{'+changes' if changed else ''}"
