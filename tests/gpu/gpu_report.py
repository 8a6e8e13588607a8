"""Markdown report of the GPU check."""

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
from cgt.runtime.image.geometry import format_size
from cgt.runtime.utils.atomic import atomic_write

_TRTEXEC_FLAGS = ["--useCudaGraph", "--noDataTransfers", "--duration=3", "--useSpinWait"]


def write_report(
    path: Path, gpu: GPU, results: list[dict[str, Any]], failures: dict[str, str]
) -> str:
    """Write Markdown with the raw values as JSON at the end; return the Markdown without them."""
    import tensorrt

    lines = [
        "# gpu-check",
        "",
        f"{datetime.date.today()}, {gpu.name} ({gpu.compute_capability / 10:.1f}), "
        f"TensorRT {tensorrt.__version__}, cgt {importlib.metadata.version('cyclegan-toolkit')}, "
        f"Python {platform.python_version()} on {platform.machine()}.",
        "Latency is from input array to output array, with pinned copies, at batch 1: p50 / p99 in "
        "ms. The three steps are timed by CUDA events, without a graph.",
        "",
        "| model | convolutions | dB (min) | graph | no graph | to device | compute | to host "
        "| frames/s | build s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        convolutions = ", ".join(f"{count} {kind}" for kind, count in r["convolutions"].items())
        lines.append(
            f"| {r['model']} {format_size(r['size'])} {r['io']} "
            f"| {convolutions} of {r['layers']} layers "
            f"| {r['worst_psnr_db']:.1f} ({r['min_psnr_db']:.0f}) "
            f"| {r['cuda_graph_ms'][0]:.2f} / {r['cuda_graph_ms'][1]:.2f} "
            f"| {r['no_graph_ms'][0]:.2f} / {r['no_graph_ms'][1]:.2f} "
            f"| {r['to_device_ms']:.3f} | {r['compute_ms']:.3f} | {r['to_host_ms']:.3f} "
            f"| {r['frames_per_second']:.0f} | {r['build_seconds']:.0f} |"
        )
    lines += ["", *(f"- {name} failed: {reason}" for name, reason in failures.items())]
    for r in results:
        flags = trtexec_flags(r["shapes"])
        lines.append(f"- trtexec, {r['model']}: {_run_trtexec(Path(r['plan']), flags)}")
    text = "\n".join(lines) + "\n"
    entries = [r | {"size": format_size(r["size"])} for r in results]
    raw = json.dumps({"gpu": gpu.name, "checks": entries, "failures": failures}, indent=1)
    with atomic_write(path) as temporary:
        temporary.write_text(f"{text}\n```json\n{raw}\n```\n")
    return text


def trtexec_flags(shapes: dict[str, tuple[int, ...]]) -> list[str]:
    """Return trtexec's flags; `shapes` are those of the inputs of varying size.

    Without them trtexec sets each varying side to 1, which is outside of the profiles.
    """
    inputs = ",".join(f"{name}:{'x'.join(map(str, sides))}" for name, sides in shapes.items())
    return [*_TRTEXEC_FLAGS, *([f"--shapes={inputs}"] if inputs else [])]


def _run_trtexec(plan: Path, flags: list[str]) -> str:
    """Return the GPU compute time that NVIDIA's own tool measures, or why it is unknown."""
    tool = shutil.which("trtexec") or "/usr/src/tensorrt/bin/trtexec"
    try:
        completed = subprocess.run(
            [tool, f"--loadEngine={plan}", *flags],
            capture_output=True,
            text=True,
            timeout=120,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "not installed"
    match = re.search(r"GPU Compute Time: (min.*)", completed.stdout)
    settings = " ".join(flags)
    if match is None:
        return f"exit {completed.returncode}, no measurement"
    return f"{match[1]}, to compare with compute ({settings})"
