"""Facts about this machine: package versions, CPU name and flags, NVIDIA GPUs, peak memory."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

_ROOT = Path("/")
_COMMAND_TIMEOUT_S = 10


def package_version(*names: str) -> str:
    """Return the version of the first of these packages that is installed; empty if none is."""
    import importlib.metadata  # takes longer to load than the rest of this module

    for name in names:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of those of the packages that are installed."""
    versions = {name: package_version(name) for name in names}
    return {name: version for name, version in versions.items() if version}


def available_cpus() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpuinfo_value(key: str, root: Path = _ROOT) -> str:
    """Return the value of the first line `key: value` of /proc/cpuinfo; empty without one.

    Args:
        key: name before the colon, such as "model name".
        root: folder that stands for "/", for tests.
    """
    try:
        text = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


@lru_cache(maxsize=1)
def cpu_name() -> str:
    """Return the name that the system reports for the processor."""
    return cpuinfo_value("model name") or platform.processor() or platform.machine()


def cpu_flags() -> frozenset[str]:
    """Return the CPU features that Linux reports, such as "avx2" or "asimd"; empty elsewhere."""
    return frozenset((cpuinfo_value("flags") or cpuinfo_value("Features")).split())


def command_output(command: Sequence[str]) -> str | None:
    """Return what a command prints, stripped; None if it is missing, fails or takes over 10 s."""
    try:
        completed = subprocess.run(
            command, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return completed.stdout.strip()


def query_nvidia_smi(keys: Sequence[str]) -> list[dict[str, str]]:
    """Return these properties of each NVIDIA GPU, with their units; empty without a driver.

    Args:
        keys: properties as `nvidia-smi --help-query-gpu` lists them, such as "driver_version".
    """
    query = f"--query-gpu={','.join(keys)}"
    output = command_output(("nvidia-smi", query, "--format=csv,noheader"))
    rows = [line.split(", ") for line in (output or "").splitlines()]
    return [dict(zip(keys, row, strict=True)) for row in rows if len(row) == len(keys)]


def peak_memory_bytes() -> int:
    """Return the largest resident set size that this process has had.

    Linux reports it in /proc; getrusage also counts what the parent held when it forked.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
