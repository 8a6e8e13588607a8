"""A checkpoint in the forms that a GPU has to run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# Name and flags of `cgt export`. INT8 with an FP16 remainder is what TensorRT wants.
EXPORT_VARIANTS = {
    "fp32": ["--fp32"],
    "fp16": ["--fp16"],
    "fp16-uint8": ["--fp16", "--io", "uint8"],
    "int8": ["--int8", "--fp16"],
    "int8-uint8": ["--int8", "--fp16", "--io", "uint8"],
    "fp16-dynamic": ["--fp16", "--size", "128..512", "--batch", "1..4"],
}


def export_variants(checkpoint: Path, folder: Path) -> tuple[list[Path], dict[str, str]]:
    """The ONNX files that could be made, and why the others could not."""
    exported, failed = [], {}
    for name, flags in EXPORT_VARIANTS.items():
        path = folder / f"{name}.onnx"
        size = [] if "--size" in flags else ["--size", "256"]
        command = [str(Path(sys.executable).with_name("cgt")), "export", "--ckpt", str(checkpoint)]
        command += [*flags, *size, "--format", "onnx", "-o", str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        print(done.stdout, end="")
        if done.returncode == 0:
            exported.append(path)
        else:
            failed[name] = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            print(f"{name}: {failed[name]}")
    return exported, failed
