"""Benchmark environment: description of the machine and its current conditions."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from cgt.runtime.engines import available_cpus
from cgt.runtime.utils import system

ROOT = Path("/")
PACKAGES = (
    *("cyclegan-toolkit", "numpy", "openvino", "onnxruntime", "onnxruntime-gpu", "tensorrt"),
    *("torch", "av", "opencv-python", "opencv-python-headless"),
)
_GPU_PROPERTIES = ("name", "driver_version", "memory.total", "power.limit")
_GPU_STATE = (
    *("temperature.gpu", "clocks.sm", "clocks.mem", "power.draw", "utilization.gpu"),
    "clocks_throttle_reasons.active",
)


def describe_machine(root: Path = ROOT) -> dict[str, Any]:
    """Describe what stays the same during a benchmark; properties that the system hides are absent.

    Args:
        root: Folder that holds /proc, /sys and /etc; a test passes its own.
    """
    properties: dict[str, Any] = {
        "cpu": _cpu_model(root) or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "cores_usable": available_cpus(),
        "memory_bytes": _total_memory_bytes(root),
        "board": _read_text(root / "proc/device-tree/model"),
        "virtual": "hypervisor" in system.cpuinfo_value("flags", root).split() or None,
        "governor": _read_text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "clock_max_mhz": _read_number(
            root / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", 1e-3
        ),
        "power_mode": _power_mode(),
        "gpus": system.query_nvidia_smi(_GPU_PROPERTIES),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": package_versions(),
        "commit": _git_commit(),
        "threads": {k: v for k, v in os.environ.items() if k.endswith("_NUM_THREADS")},
    }
    return _without_unknown(properties)


def current_conditions(root: Path = ROOT) -> dict[str, Any]:
    """Describe what changes during a benchmark: load, clocks, temperatures, throttling.

    Args:
        root: As in `describe_machine`.
    """
    properties: dict[str, Any] = {
        "load_average": list(os.getloadavg()),
        "clocks_mhz": _clocks_mhz(root),
        "temperatures_c": _temperatures_c(root),
        "throttled_count": _throttle_count(root),
        "on_battery": _on_battery(root),
        "gpus": system.query_nvidia_smi(_GPU_STATE),
    }
    return _without_unknown(properties)


def _without_unknown(properties: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if value not in (None, "", [], {})}


def package_versions() -> dict[str, str]:
    """Map the installed packages that affect speed to their versions."""
    return system.package_versions(PACKAGES)


def machine_summary(machine: dict[str, Any]) -> str:
    """Summarize what `describe_machine` found in one line."""
    gpus = "".join(f", {gpu['name']}" for gpu in machine.get("gpus", []))
    memory = f", {machine['memory_bytes'] / 2**30:.0f} GiB" if "memory_bytes" in machine else ""
    mode = f", power mode {machine['power_mode']}" if "power_mode" in machine else ""
    virtual = ", virtual" if machine.get("virtual") else ""
    name = machine.get("board") or machine["cpu"]
    count = machine["cores_usable"]
    return f"{name}, {count} core{'s' * (count != 1)}{virtual}{memory}{gpus}{mode}"


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return None


def _read_number(path: Path, scale: float = 1.0) -> float | None:
    text = _read_text(path)
    try:
        return float(text) * scale if text else None
    except ValueError:
        return None


def _cpu_model(root: Path) -> str:
    name = system.cpuinfo_value("model name", root)
    family, model = system.cpuinfo_value("cpu family", root), system.cpuinfo_value("model", root)
    return f"{name} (family {family}, model {model})" if name and family else name


def _total_memory_bytes(root: Path) -> int | None:
    for line in (_read_text(root / "proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return None


def _clocks_mhz(root: Path) -> list[float]:
    """Return the current clock of each core."""
    cpus = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    clocks = [_read_number(path, 1e-3) for path in cpus]
    if not clocks:
        lines = (_read_text(root / "proc/cpuinfo") or "").splitlines()
        clocks = [float(line.split(":")[1]) for line in lines if line.startswith("cpu MHz")]
    return [round(mhz) for mhz in clocks if mhz is not None]


def _temperatures_c(root: Path) -> dict[str, float]:
    """Return temperatures by sensor: thermal zones as on a Jetson, hwmon as on a PC."""
    temperatures: dict[str, float] = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        degrees = _read_number(zone / "temp", 1e-3)
        if degrees is not None and degrees > -200:  # a disabled sensor reports -256
            temperatures[_read_text(zone / "type") or zone.name] = degrees
    for sensor in sorted((root / "sys/class/hwmon").glob("hwmon*/temp*_input")):
        degrees = _read_number(sensor, 1e-3)
        if degrees is not None:
            label = _read_text(sensor.with_name(sensor.name.replace("_input", "_label")))
            temperatures[f"{_read_text(sensor.parent / 'name')} {label or sensor.stem}"] = degrees
    return temperatures


def _throttle_count(root: Path) -> float | None:
    """Return how often any core was throttled for heat since the machine started."""
    pattern = "cpu[0-9]*/thermal_throttle/core_throttle_count"
    counts = [_read_number(path) for path in (root / "sys/devices/system/cpu").glob(pattern)]
    return sum(count for count in counts if count is not None) if counts else None


def _on_battery(root: Path) -> bool | None:
    plugs = [_read_number(path) for path in (root / "sys/class/power_supply").glob("*/online")]
    return not any(plugs) if plugs else None


def _power_mode() -> str | None:
    """Return the power mode of a Jetson, for example "15W", as `nvpmodel -q` prints it."""
    output = system.command_output(("nvpmodel", "-q"))
    if not output:
        return None
    return next((line.split(":")[1].strip() for line in output.splitlines() if ":" in line), output)


def _git_commit() -> str | None:
    """Return the commit of cgt's own checkout if the command runs in one."""
    top = system.command_output(("git", "rev-parse", "--show-toplevel"))
    if not top or "cyclegan-toolkit" not in (_read_text(Path(top) / "pyproject.toml") or ""):
        return None
    commit = system.command_output(("git", "rev-parse", "--short=12", "HEAD"))
    changed = system.command_output(("git", "status", "--porcelain", "--untracked-files=no"))
    return f"{commit}{'+changes' if changed else ''}"
