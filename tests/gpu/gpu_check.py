"""`make gpu-check`: on a machine with a GPU, TensorRT's engines built, verified and timed.

For each model: an engine is built; its layers are read back with EngineInspector; it is compared
with ONNX Runtime on the CPU; single frames are timed with and without a CUDA graph, its three
steps apart, and several frames in flight. One report is written. Nobody has run it on a GPU until
a report says so.

A checkpoint in the forms that a GPU has to run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cgt.export.builders.tensorrt_inspector import parse_inspector_json
from cgt.export.engine import build_engine, check_buildable
from cgt.export.formats import BuildOptions
from cgt.runtime.engines import Array, BatchShape, Engine, open_engine
from cgt.runtime.engines.cuda import list_gpus
from cgt.runtime.errors import CgtError
from cgt.runtime.image.files import list_images, read_image
from cgt.runtime.image.preprocess import F32, U8, Filter, pack, resize
from cgt.runtime.inference.translator import DEFAULT_MODEL
from cgt.runtime.models.metadata import read_metadata
from cgt.runtime.models.sidecar import read_sidecar

from .gpu_report import write_report

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


# dB against ONNX Runtime on the same graph. Where a GPU rounds a value to the other side of a step
# of INT8, the next layers differ.
MIN_PSNR_DB = {"fp32": 60.0, "fp16": 45.0, "bf16": 30.0, "int8": 30.0}
NUM_IMAGES = 8


@dataclass(frozen=True)
class GpuCheckResult:
    """What was found of one model. Milliseconds, dB, frames/s."""

    model: str
    size: tuple[int, int]
    io: str
    convolutions: dict[str, int]
    layers: int
    build_seconds: float
    psnr_worst: float
    max_error: float
    floor: float
    cuda_graph_ms: tuple[float, float]  # p50, p99
    no_graph_ms: tuple[float, float]
    to_device_ms: float
    compute_ms: float
    to_host_ms: float
    frames_per_second: float
    plan: str

    @property
    def passed(self) -> bool:
        return self.psnr_worst >= self.floor


def check_model(
    onnx: Path, images: list[U8], seconds: float, options: BuildOptions
) -> GpuCheckResult:
    """Build the model's engine beside it, and measure. Raises the errors of `build_engine` and of
    the engine."""
    # Only a machine with a GPU has what this imports.
    from cgt.runtime.engines.tensorrt import TensorRTEngine

    metadata = read_metadata(onnx)
    began = time.perf_counter()
    plan = build_engine(onnx, "tensorrt", options=options, log=print)
    build_seconds = time.perf_counter() - began
    shape = BatchShape.from_metadata(metadata, *metadata.size)
    frames = [_make_batch(image, shape, metadata.filter) for image in images]
    statistics_in = np.zeros((1, shape.statistics), np.float32)
    statistics: tuple[()] | tuple[F32, F32] = (
        (statistics_in, statistics_in.copy()) if shape.statistics else ()
    )
    out: Array = np.empty_like(frames[0])
    with open_engine(onnx, shape, "onnxruntime", precision="fp32") as reference:
        expected_outputs = []
        for frame in frames:
            reference.infer(frame, out, *statistics)
            expected_outputs.append(out.copy())
    with TensorRTEngine(plan, shape, "latency", cuda_graph=True) as engine:
        errors = []
        for frame, expected in zip(frames, expected_outputs, strict=True):
            engine.infer(frame, out, *statistics)
            errors.append(np.abs(out.astype(np.float64) - expected))
        timings = [engine.infer_timed(frames[0], out, *statistics) for _ in range(20)]
        layers = parse_inspector_json(engine.layer_information())
        cuda_graph_samples = _time_calls(lambda: engine.infer(frames[0], out, *statistics), seconds)
    with TensorRTEngine(plan, shape, "latency", cuda_graph=False) as engine:
        no_graph_samples = _time_calls(lambda: engine.infer(frames[0], out, *statistics), seconds)
    with TensorRTEngine(plan, shape, "throughput") as engine:
        rate = _measure_fps(engine, frames[0], statistics, seconds)
    peak = 255.0 if shape.io == "uint8" else 2.0
    worst = max(float(np.mean(error**2)) for error in errors)
    return GpuCheckResult(
        model=onnx.name,
        size=metadata.size,
        io=shape.io,
        convolutions=read_sidecar(plan).build.convolutions,
        layers=len(layers),
        build_seconds=build_seconds,
        psnr_worst=float(10 * np.log10(peak**2 / max(worst, 1e-20))) if np.isfinite(worst) else 0,
        max_error=float(max(error.max() for error in errors)),
        floor=MIN_PSNR_DB.get(metadata.precision, 30.0),
        cuda_graph_ms=(
            float(np.percentile(cuda_graph_samples, 50)),
            float(np.percentile(cuda_graph_samples, 99)),
        ),
        no_graph_ms=(
            float(np.percentile(no_graph_samples, 50)),
            float(np.percentile(no_graph_samples, 99)),
        ),
        to_device_ms=float(np.median([span.h2d_ms for span in timings])),
        compute_ms=float(np.median([span.compute_ms for span in timings])),
        to_host_ms=float(np.median([span.d2h_ms for span in timings])),
        frames_per_second=rate,
        plan=str(plan),
    )


def _make_batch(image: U8, shape: BatchShape, filter: Filter) -> Array:
    size = (shape.height, shape.width)
    return (resize if shape.io == "uint8" else pack)(image, size, filter)[None]


def _time_calls(call: Callable[[], None], seconds: float) -> list[float]:
    for _ in range(5):
        call()
    samples: list[float] = []
    end = time.perf_counter() + seconds
    while (started := time.perf_counter()) < end or len(samples) < 10:
        call()
        samples.append((time.perf_counter() - started) * 1e3)
    return samples


def _measure_fps(
    engine: Engine, frame: Array, statistics: tuple[()] | tuple[F32, F32], seconds: float
) -> float:
    """Frames/s with all of the engine's workers busy."""
    end = time.perf_counter() + seconds

    def work(_: int) -> int:
        out, count = np.empty_like(frame), 0
        while time.perf_counter() < end or not count:
            engine.infer(frame, out, *statistics)
            count += 1
        return count

    began = time.perf_counter()
    with ThreadPoolExecutor(engine.workers) as pool:
        frames = sum(pool.map(work, range(engine.workers)))
    return frames / (time.perf_counter() - began)


def load_images() -> list[U8]:
    """Real ones of the folder in CGT_DATA, else noise that is smooth."""
    folder = os.environ.get("CGT_DATA")
    files = list_images(Path(folder)) if folder else []
    images = [read_image(path) for path in files[:: max(1, len(files) // NUM_IMAGES)][:NUM_IMAGES]]
    images_read = [image for image in images if image is not None]
    if images_read:
        return images_read
    random = np.random.default_rng(0)
    return [resize(random.integers(0, 256, (16, 16, 3), np.uint8), (512, 512)) for _ in range(4)]


def check_models(
    models: list[Path], work_dir: Path, seconds: float
) -> tuple[list[GpuCheckResult], dict[str, str]]:
    """What was found of each ONNX file and each variant of a checkpoint, and what failed."""
    checks: list[GpuCheckResult] = []
    failures: dict[str, str] = {}
    for model in models:
        onnxes = [work_dir / model.name]
        if model.suffix == ".onnx":
            onnxes[0].write_bytes(model.read_bytes())  # engines are built beside the model
        else:
            onnxes, failed = export_variants(model, work_dir)
            failures |= failed
        for onnx in onnxes:
            print(f"== {onnx.name}")
            try:
                options = BuildOptions(timing_cache=work_dir / "timing")
                checks.append(check_model(onnx, load_images(), seconds, options))
            except CgtError as error:
                failures[onnx.name] = str(error)
                print(f"failed: {error}")
    return checks, failures


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 where all passed, 1 where something did not, 3 without a GPU."""
    parser = argparse.ArgumentParser(prog="make gpu-check", description=__doc__)
    parser.add_argument("models", nargs="*", type=Path, help="ONNX files, or one checkpoint")
    parser.add_argument("--report", type=Path, default=Path("gpu-check.md"))
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments_given = parser.parse_args(arguments)
    try:
        check_buildable("tensorrt")
    except CgtError as error:
        print(f"gpu-check: nothing was checked: {error}", file=sys.stderr)
        return error.exit_code
    with tempfile.TemporaryDirectory() as folder:
        work_dir = Path(folder)
        checks, failures = check_models(
            arguments_given.models or [DEFAULT_MODEL], work_dir, arguments_given.seconds
        )
        text = write_report(
            arguments_given.report, list_gpus()[0], [asdict(one) for one in checks], failures
        )
    print(text)
    bad = [one.model for one in checks if not one.passed]
    if bad:
        print(f"gpu-check: below the floor: {', '.join(bad)}", file=sys.stderr)
    return 1 if bad or failures or not checks else 0


if __name__ == "__main__":
    sys.exit(main())
