"""Measured machine peaks: multiply-adds per second of an engine, bytes per second of a copy.

The compute peak is the fastest of several ONNX files with one large convolution each.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cgt.export.engine import write_engine
from cgt.export.formats import FORMATS, BuildOptions
from cgt.export.verify.macs import require_onnx
from cgt.runtime.engines import BatchShape, Engine, available_cpus, open_engine
from cgt.runtime.models.metadata import ModelMetadata

from ..harness.session import DeviceEngine

PEAK_MODEL_OPSET, PEAK_MODEL_IR_VERSION = 18, 10


def make_conv_model(channels: int, kernel: int, precision: str) -> bytes:
    """Return an ONNX file with one convolution from float32 (N, C, H, W) to the same shape.

    Args:
        channels: Input and output channels.
        kernel: Side of the kernel.
        precision: "fp32", "fp16" or "int8" (symmetric Q/DQ, the form that all engines accept).

    Raises:
        MissingDependency: The onnx package is not installed.
    """
    onnx = require_onnx()
    from onnx import TensorProto, helper

    half = kernel // 2
    weight = np.random.default_rng(0).normal(0, 0.02, (channels, channels, kernel, kernel))
    before, constants = _input_nodes(weight, precision)
    conv = helper.make_node("Conv", ["x", "w"], ["y"], pads=[half] * 4)
    after = [helper.make_node("Cast", ["y"], ["out"], to=TensorProto.FLOAT)]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, channels, None, None])
        for name in ("image", "out")
    ]
    graph = helper.make_graph([*before, conv, *after], "peak", ends[:1], ends[1:], constants)
    opsets = [helper.make_opsetid("", PEAK_MODEL_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=PEAK_MODEL_IR_VERSION)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def _input_nodes(weight: np.ndarray[Any, Any], precision: str) -> tuple[list[Any], list[Any]]:
    """Return the nodes that compute the Conv inputs "x" and "w", and their constants."""
    from onnx import TensorProto, helper, numpy_helper

    if precision != "int8":
        kind = np.float16 if precision == "fp16" else np.float32
        to = TensorProto.FLOAT16 if precision == "fp16" else TensorProto.FLOAT
        cast = helper.make_node("Cast", ["image"], ["x"], to=to)
        return [cast], [numpy_helper.from_array(weight.astype(kind), "w")]
    levels = np.rint(weight / np.abs(weight).max() * 127).astype(np.int8)
    constants = {
        "w8": levels,
        "image_scale": np.float32(1 / 127),
        "weight_scale": np.full(len(weight), np.abs(weight).max() / 127, np.float32),
        "image_zero": np.int8(0),
        "weight_zero": np.zeros(len(weight), np.int8),
    }
    image, w = ["image_scale", "image_zero"], ["weight_scale", "weight_zero"]
    nodes = [
        helper.make_node("QuantizeLinear", ["image", *image], ["x8"]),
        helper.make_node("DequantizeLinear", ["x8", *image], ["x"]),
        helper.make_node("DequantizeLinear", ["w8", *w], ["w"], axis=0),
    ]
    return nodes, [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()]


MEASURE_S = 0.4  # per measurement
# (channels, side, kernel): large enough to saturate the machine. 1x1 is a plain matrix product.
CONV_SHAPES = ((1024, 32, 1), (256, 64, 3), (512, 32, 3))
COPY_SIZES_BYTES = tuple(1 << shift for shift in (20, 22, 24, 26, 28))  # bytes read and written


@dataclass(frozen=True)
class ComputePeak:
    """Highest multiply-add rate, and the precision and shape that reached it."""

    macs_per_second: float
    precision: str
    shape: str


def measure_compute_peak(engine: str, requested_precision: str, file_precision: str) -> ComputePeak:
    """Measure the multiply-add rate of an engine.

    Args:
        engine: Engine name, as in BenchmarkJob, or the export format of a TensorRT engine.
        requested_precision: "auto" or "fp32", as in BenchmarkJob.
        file_precision: Precision of the convolution's file: "fp32", "fp16" or "int8".

    Raises:
        MissingDependency: The onnx package is not installed.
        EngineError: The engine cannot run the convolution.
    """
    peaks_found = []
    with tempfile.TemporaryDirectory(prefix="cgt-bench-") as folder:
        for channels, side, kernel in CONV_SHAPES:
            path = Path(folder) / f"{channels}-{kernel}.onnx"
            path.write_bytes(make_conv_model(channels, kernel, file_precision))
            shape = BatchShape(1, channels, side, side)
            precision = "fp32" if requested_precision == "fp32" else None
            name = engine
            if engine in FORMATS and FORMATS[engine].suffix == ".engine":
                path, name = _build_engine(path, engine, side), "tensorrt"
            with open_engine(path, shape, name, "latency", precision) as runner:
                rate = (channels * kernel * side) ** 2 / _fastest_time(_conv_timer(runner, shape))
                name = f"{kernel}x{kernel}, {channels} channels, {side}x{side}"
                peaks_found.append(ComputePeak(rate, runner.precision, name))
    return max(peaks_found, key=lambda peak: peak.macs_per_second)


def _build_engine(onnx: Path, fmt: str, side: int) -> Path:
    """Write an engine of one size for an ONNX file."""
    path = onnx.with_suffix(".engine")
    metadata = ModelMetadata(size=(side, side))
    write_engine(onnx, metadata, FORMATS[fmt], path, BuildOptions(), lambda line: None)
    return path


def _conv_timer(engine: Engine, shape: BatchShape) -> Callable[[], float]:
    """Return a function that measures one run in seconds; on a device, its compute time alone."""
    batch = np.random.default_rng(0).uniform(-1, 1, shape.image_shape).astype(np.float32)
    out = np.empty_like(batch)
    if isinstance(engine, DeviceEngine):
        device = engine
        return lambda: device.infer_timed(batch, out).compute_ms / 1e3
    return _make_timer(lambda: engine.infer(batch, out))


def measure_copy_bandwidths() -> dict[int, float]:
    """Map the number of bytes moved to bytes per second, read and written.

    Small copies stay in caches, which are faster than memory. All cores copy, each its own part.
    """
    with ThreadPoolExecutor(available_cpus()) as pool:
        return {size: size / _fastest_time(_copy_timer(pool, size)) for size in COPY_SIZES_BYTES}


def _copy_timer(pool: ThreadPoolExecutor, num_bytes: int) -> Callable[[], float]:
    """Return a function that measures one copy in seconds.

    Small copies are repeated, because starting the threads takes time.
    """
    count = available_cpus()
    repeats = max(1, (1 << 24) // num_bytes)
    sources = [np.zeros(num_bytes // 2 // count, np.uint8) for _ in range(count)]
    targets = [np.empty_like(source) for source in sources]

    def work(index: int) -> None:
        for _ in range(repeats):
            np.copyto(targets[index], sources[index])

    run = _make_timer(lambda: list(pool.map(work, range(count))))
    return lambda: run() / repeats


def _make_timer(run: Callable[[], object]) -> Callable[[], float]:
    def seconds() -> float:
        started = time.perf_counter()
        run()
        return time.perf_counter() - started

    return seconds


def _fastest_time(seconds: Callable[[], float]) -> float:
    """Return the lowest of many measurements: a peak is what an undisturbed machine reaches."""
    end = time.perf_counter() + MEASURE_S
    best, runs = seconds(), 1
    while runs < 5 or time.perf_counter() < end:
        best = min(best, seconds())
        runs += 1
    return best
