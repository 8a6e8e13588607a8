"""OpenVINO's own benchmark tool, run as its users run it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from cgt.runtime.errors import EngineError, MissingDependency

from .feed import ModelInputs
from .session import BenchmarkJob


def run_benchmark_app(job: BenchmarkJob) -> float:
    """Median latency, milliseconds, of one frame after the other. Raises EngineError and
    MissingDependency."""
    shape = ",".join(map(str, ModelInputs(job.model, job.size, job.batch).shape.image_shape))
    program = Path(sys.executable).with_name("benchmark_app")
    if not program.exists():
        raise MissingDependency(f"{program} is missing; it comes with the package openvino")
    command = [str(program), "-m", str(job.model)]
    command += ["-d", "CPU", "-hint", "latency", "-nireq", "1", "-shape", f"[{shape}]"]
    command += ["-t", f"{max(1, round(job.seconds))}"]
    if job.precision == "fp32":
        command += ["-infer_precision", "f32"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Median:\s+([\d.]+) ms", done.stdout)
    if done.returncode != 0 or found is None:
        output_lines = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise EngineError(f"benchmark_app failed: {output_lines[-1].strip()}")
    return float(found[1])
