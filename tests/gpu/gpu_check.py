"""GPU check: TensorRT engines built, verified and timed on a machine with a GPU.

    python -m tests.gpu.gpu_check [MODEL ...] [--report FILE]   (make gpu-check)

For each model, an engine is built, its layers are read with EngineInspector, and its outputs are
compared with ONNX Runtime on the CPU. Single frames are timed with and without a CUDA graph, the
three steps separately, and several frames in flight. One report is written. A model counts as
tested on a GPU only if a report lists it.
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
from cgt.runtime.engines import Array, BatchShape, Engine, EngineOptions, open_engine
from cgt.runtime.engines.cuda import list_gpus
from cgt.runtime.errors import CgtError
from cgt.runtime.image.files import list_images, read_image
from cgt.runtime.image.preprocess import F32, U8, Filter, pack, resize
from cgt.runtime.inference.translator import DEFAULT_MODEL
from cgt.runtime.models.metadata import read_metadata
from cgt.runtime.models.sidecar import read_sidecar

from .gpu_report import write_report

# Name and flags of `cgt export`. TensorRT is fastest with INT8 and an FP16 remainder.
EXPORT_VARIANTS = {
    "fp32": ["--fp32"],
    "fp16": ["--fp16"],
    "fp16-uint8": ["--fp16", "--io", "uint8"],
    "int8": ["--int8", "--fp16"],
    "int8-uint8": ["--int8", "--fp16", "--io", "uint8"],
    "fp16-dynamic": ["--fp16", "--size", "128..512", "--batch", "1..4"],
}


def export_variants(checkpoint: Path, folder: Path) -> tuple[list[Path], dict[str, str]]:
    """Export a checkpoint in each variant; return the ONNX files and the errors by variant."""
    exported, failed = [], {}
    for name, flags in EXPORT_VARIANTS.items():
        path = folder / f"{name}.onnx"
        size = [] if "--size" in flags else ["--size", "256"]
        command = [str(Path(sys.executable).with_name("cgt")), "export", "--ckpt", str(checkpoint)]
        command += [*flags, *size, "--format", "onnx", "-o", str(path)]
        completed = subprocess.run(command, capture_output=True, text=True)
        print(completed.stdout, end="")
        if completed.returncode == 0:
            exported.append(path)
        else:
            failed[name] = (completed.stderr.strip().splitlines() or ["no error message"])[-1]
            print(f"{name}: {failed[name]}")
    return exported, failed


# Against ONNX Runtime on the same graph. If a GPU rounds a value to the neighboring INT8 level, the
# next layers differ.
MIN_PSNR_DB = {"fp32": 60.0, "fp16": 45.0, "bf16": 30.0, "int8": 30.0}
NUM_IMAGES = 8


@dataclass(frozen=True)
class GpuCheckResult:
    """Measurements of one model. Times are p50 and p99 in milliseconds where two."""

    model: str
    size: tuple[int, int]
    io: str
    convolutions: dict[str, int]
    layers: int
    build_seconds: float
    worst_psnr_db: float
    max_error: float
    min_psnr_db: float
    cuda_graph_ms: tuple[float, float]  # p50, p99
    no_graph_ms: tuple[float, float]
    to_device_ms: float
    compute_ms: float
    to_host_ms: float
    frames_per_second: float
    plan: str
    shapes: dict[str, tuple[int, ...]]  # of inputs of varying size, by name

    @property
    def passed(self) -> bool:
        return self.worst_psnr_db >= self.min_psnr_db


def check_model(
    onnx: Path, images: list[U8], seconds: float, options: BuildOptions, inspector_file: Path
) -> GpuCheckResult:
    """Build the model's engine next to it and measure it; write the inspector's JSON to a file.

    Raises the errors of `build_engine` and of the engine.
    """
    # Imported here because it needs CUDA.
    from cgt.runtime.engines.tensorrt import TensorRTEngine

    metadata = read_metadata(onnx)
    started = time.perf_counter()
    plan = build_engine(onnx, "tensorrt", options=options, log=print)
    build_seconds = time.perf_counter() - started
    shape = BatchShape.from_metadata(metadata, *metadata.size)
    frames = [_make_batch(image, shape, metadata.filter) for image in images]
    statistics_in = np.zeros((1, shape.statistics), np.float32)
    statistics: tuple[()] | tuple[F32, F32] = (
        (statistics_in, statistics_in.copy()) if shape.statistics else ()
    )
    out: Array = np.empty_like(frames[0])
    with open_engine(onnx, shape, "onnxruntime:cpu", precision="fp32") as reference:
        expected_outputs = []
        for frame in frames:
            reference.infer(frame, out, *statistics)
            expected_outputs.append(out.copy())
    with TensorRTEngine(EngineOptions(plan, shape, "latency"), cuda_graph=True) as engine:
        errors = []
        for frame, expected in zip(frames, expected_outputs, strict=True):
            engine.infer(frame, out, *statistics)
            errors.append(np.abs(out.astype(np.float64) - expected))
        timings = [engine.infer_timed(frames[0], out, *statistics) for _ in range(20)]
        information = engine.layer_information()
        layers = parse_inspector_json(information)
        inspector_file.write_text(information)
        specs = (shape.image_shape, *(array.shape for array in statistics[:1]))
        shapes = dict(zip(engine.input_names, specs, strict=True)) if metadata.dynamic else {}
        cuda_graph_samples = _time_calls(lambda: engine.infer(frames[0], out, *statistics), seconds)
    with TensorRTEngine(EngineOptions(plan, shape, "latency"), cuda_graph=False) as engine:
        no_graph_samples = _time_calls(lambda: engine.infer(frames[0], out, *statistics), seconds)
    with TensorRTEngine(EngineOptions(plan, shape, "throughput")) as engine:
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
        worst_psnr_db=float(10 * np.log10(peak**2 / max(worst, 1e-20)))
        if np.isfinite(worst)
        else 0,
        max_error=float(max(error.max() for error in errors)),
        min_psnr_db=MIN_PSNR_DB.get(metadata.precision, 30.0),
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
        shapes=shapes,
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
    """Return frames/s with all of the engine's workers busy."""
    end = time.perf_counter() + seconds

    def work(_: int) -> int:
        out, count = np.empty_like(frame), 0
        while time.perf_counter() < end or not count:
            engine.infer(frame, out, *statistics)
            count += 1
        return count

    started = time.perf_counter()
    with ThreadPoolExecutor(engine.workers) as pool:
        frames = sum(pool.map(work, range(engine.workers)))
    return frames / (time.perf_counter() - started)


def load_images() -> list[U8]:
    """Return images from the folder in CGT_DATA, else smooth noise."""
    folder = os.environ.get("CGT_DATA")
    files = list_images(Path(folder)) if folder else []
    images = [read_image(path) for path in files[:: max(1, len(files) // NUM_IMAGES)][:NUM_IMAGES]]
    images_read = [image for image in images if image is not None]
    if images_read:
        return images_read
    random = np.random.default_rng(0)
    return [resize(random.integers(0, 256, (16, 16, 3), np.uint8), (512, 512)) for _ in range(4)]


def check_models(
    models: list[Path], work_dir: Path, seconds: float, report: Path
) -> tuple[list[GpuCheckResult], dict[str, str]]:
    """Check each ONNX file and each variant of a checkpoint; return results and errors.

    EngineInspector's JSON of each model is written beside the report.
    """
    results: list[GpuCheckResult] = []
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
                inspector_file = report.with_name(f"{report.stem}-{onnx.stem}-inspector.json")
                result = check_model(onnx, load_images(), seconds, options, inspector_file)
                results.append(result)
            except CgtError as error:
                failures[onnx.name] = str(error)
                print(f"failed: {error}")
    return results, failures


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 0 if all passed, 1 if something failed, 3 without a GPU."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.gpu.gpu_check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", nargs="*", type=Path, help="ONNX files, or one checkpoint")
    parser.add_argument("--report", type=Path, default=Path("gpu-check.md"))
    parser.add_argument("--seconds", type=float, default=3.0)
    parsed = parser.parse_args(arguments)
    try:
        check_buildable("tensorrt")
    except CgtError as error:
        print(f"gpu-check: nothing was checked: {error}", file=sys.stderr)
        return error.exit_code
    with tempfile.TemporaryDirectory() as folder:
        work_dir = Path(folder)
        models = parsed.models or [DEFAULT_MODEL]
        results, failures = check_models(models, work_dir, parsed.seconds, parsed.report)
        text = write_report(
            parsed.report, list_gpus()[0], [asdict(result) for result in results], failures
        )
    print(text)
    rejected = [result.model for result in results if not result.passed]
    if rejected:
        print(f"gpu-check: below the PSNR floor: {', '.join(rejected)}", file=sys.stderr)
    return 1 if rejected or failures or not results else 0


if __name__ == "__main__":
    sys.exit(main())
