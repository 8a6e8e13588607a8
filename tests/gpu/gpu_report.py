"""The report of `make gpu-check`."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from cgt.runtime.engines.cuda import GPU
from cgt.runtime.utils.atomic import atomic_write

_TRTEXEC_FLAGS = ["--useCudaGraph", "--noDataTransfers", "--duration=3", "--useSpinWait"]


def write_report(
    path: Path, gpu: GPU, checks: list[dict[str, Any]], failures: dict[str, str]
) -> str:
    """Write it, Markdown with the raw figures at its end; returns the part for people."""
    import tensorrt

    lines = [
        "# gpu-check",
        "",
        f"{datetime.date.today()}, {gpu.name} ({gpu.compute_capability / 10:.1f}), "
        f"TensorRT {tensorrt.__version__}, cgt {importlib.metadata.version('cyclegan-toolkit')}, "
        f"Python {platform.python_version()} on {platform.machine()}.",
        "Latency: array in, array out, pinned copies included, batch 1, p50 / p99 in ms. The three "
        "steps by CUDA events, without a graph.",
        "",
        "| model | convolutions | dB (floor) | graph | no graph | to device | compute | to host "
        "| frames/s | build s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in checks:
        kinds = ", ".join(f"{count} {kind}" for kind, count in one["convolutions"].items())
        height, width = one["size"]
        lines.append(
            f"| {one['model']} {height}x{width} {one['io']} | {kinds} of {one['layers']} layers "
            f"| {one['psnr_worst']:.1f} ({one['floor']:.0f}) "
            f"| {one['graph_ms'][0]:.2f} / {one['graph_ms'][1]:.2f} "
            f"| {one['plain_ms'][0]:.2f} / {one['plain_ms'][1]:.2f} | {one['to_device_ms']:.3f} "
            f"| {one['compute_ms']:.3f} | {one['to_host_ms']:.3f} "
            f"| {one['frames_per_second']:.0f} | {one['build_seconds']:.0f} |"
        )
    lines += ["", *(f"- {name} failed: {why}" for name, why in failures.items())]
    lines += [f"- trtexec, {one['model']}: {_run_trtexec(Path(one['plan']))}" for one in checks]
    text = "\n".join(lines) + "\n"
    raw = json.dumps({"gpu": gpu.name, "checks": checks, "failures": failures}, indent=1)
    with atomic_write(path) as temporary:
        temporary.write_text(f"{text}\n```json\n{raw}\n```\n")
    return text


def _run_trtexec(plan: Path) -> str:
    """GPU compute time as NVIDIA's own tool measures it, or why not."""
    tool = shutil.which("trtexec") or "/usr/src/tensorrt/bin/trtexec"
    try:
        completed = subprocess.run(
            [tool, f"--loadEngine={plan}", *_TRTEXEC_FLAGS],
            capture_output=True,
            text=True,
            timeout=120,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "not here"
    found = re.search(r"GPU Compute Time: (min.*)", completed.stdout)
    settings = " ".join(_TRTEXEC_FLAGS)
    return f"{found[1]} ({settings})" if found else f"exit {completed.returncode}, no figure"
