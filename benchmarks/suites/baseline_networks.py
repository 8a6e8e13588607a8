"""Baselines for one network: PyTorch, ONNX Runtime's defaults and OpenVINO's benchmark_app.

Each baseline returns seconds per frame, the median of several runs. The PyTorch network has the
weights of the ONNX file.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cgt.benchmarks.harness.inputs import ModelInputs
from cgt.benchmarks.harness.session import BenchmarkJob, measure_throughput
from cgt.runtime.engines import open_engine, read_model_metadata
from cgt.runtime.errors import EngineError, MissingDependency, ModelError
from cgt.runtime.models.metadata import METADATA_KEY, Direction, ModelMetadata


def run_benchmark_app(job: BenchmarkJob) -> float:
    """Return the median latency in milliseconds that OpenVINO's own benchmark_app measures.

    Raises EngineError if it fails and MissingDependency if it is not installed.
    """
    shape = ",".join(map(str, ModelInputs(job.model, job.size, job.batch).shape.image_shape))
    program = Path(sys.executable).with_name("benchmark_app")
    if not program.exists():
        raise MissingDependency(f"{program} is missing; it comes with the package openvino")
    command = [str(program), "-m", str(job.model)]
    command += ["-d", "CPU", "-hint", "latency", "-nireq", "1", "-shape", f"[{shape}]"]
    command += ["-t", f"{max(1, round(job.seconds))}"]
    if job.precision == "fp32":
        command += ["-infer_precision", "f32"]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    match = re.search(r"Median:\s+([\d.]+) ms", completed.stdout)
    if completed.returncode != 0 or match is None:
        output_lines = (completed.stderr or completed.stdout).strip().splitlines() or ["no output"]
        raise EngineError(f"benchmark_app failed: {output_lines[-1].strip()}")
    return float(match[1])


MAX_ERROR = 1e-3  # largest error in [-1, 1]
MAX_INT8_RMSE = 0.08  # root mean square in [-1, 1]: 28 dB, the floor of an export to INT8


def require_torch() -> Any:
    """Return the torch module. Raises MissingDependency if it is not installed."""
    try:
        import torch
    except ImportError:
        raise MissingDependency("pip install 'cyclegan-toolkit[train]'") from None
    return torch


def load_network(model: Path, ckpt: Path | None, direction: Direction | None) -> Any:
    """Return the network of a model as an nn.Module in eval mode.

    Args:
        model: ONNX file.
        ckpt: Checkpoint of the network. Without one, the network is rebuilt from the architecture
            and the weights in the ONNX file.
        direction: Generator of the checkpoint.

    Raises:
        ModelError: The network computes something else than the file.
        CheckpointError: The checkpoint cannot be read.
        MissingDependency: torch is not installed.
    """
    require_torch()
    if ckpt is not None:
        from cgt.trainer.pretrained import open_generator

        network: Any = open_generator(ckpt, direction).network.eval()
    else:
        network = _rebuild_from_onnx(model)
    _check_matches_onnx(network, model)
    return network


def _rebuild_from_onnx(model: Path) -> Any:
    torch = require_torch()
    import onnx
    from onnx import numpy_helper

    from cgt.export.graph.subpixel import is_subpixel_conv, undo_subpixel
    from cgt.export.quantization.qdq import dequantized_weights
    from cgt.trainer.networks import build_generator
    from cgt.trainer.networks.config import GeneratorConfig

    graph = onnx.load(model).graph
    values = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
    values |= dequantized_weights(graph)
    for node in filter(is_subpixel_conv, graph.node):
        values |= {name: undo_subpixel(values[name]) for name in node.input[1:]}
    for node in graph.node:  # a quantized kernel lost its name; derive it from its bias
        if node.op_type == "Conv" and len(node.input) == 3:
            values[f"{node.input[2].removesuffix('bias')}weight"] = values[node.input[1]]
    weights = {name: torch.from_numpy(value.copy()) for name, value in values.items()}
    try:
        network = build_generator(GeneratorConfig(**read_model_metadata(model).architecture))
        network.load_state_dict({name: weights[name] for name in network.state_dict()})
    except (KeyError, TypeError, RuntimeError) as error:
        raise ModelError(
            f"no PyTorch network can be built from {model.name}; pass --ckpt ({error})"
        ) from None
    return network.eval()


def _check_matches_onnx(network: Any, model: Path) -> None:
    torch = require_torch()
    inputs = ModelInputs(model, (64, 64))
    is_int8 = read_model_metadata(model).precision.startswith("int8")
    with open_engine(model, inputs.shape, "auto", "latency", "fp32") as engine:
        inputs.infer(engine)
    with torch.inference_mode():
        errors = np.abs(network(torch.from_numpy(inputs.batch)).numpy() - inputs.out)
    error = np.sqrt(np.mean(errors**2)) if is_int8 else errors.max()
    if not error < (MAX_INT8_RMSE if is_int8 else MAX_ERROR):
        raise ModelError(f"the PyTorch network differs from {model.name} by {error:.1e}")


FrameTimer = Callable[[], float]
FrameSize = tuple[int, int]

WARM_UP_RUNS = 3


def median_timer(run: Callable[[], object], seconds: float) -> FrameTimer:
    """Return a timer of one run in seconds: warms up, then takes the median of a time budget."""

    def measure() -> float:
        for _ in range(WARM_UP_RUNS):
            run()
        samples: list[float] = []
        end = time.perf_counter() + seconds
        while (started := time.perf_counter()) < end or len(samples) < 3:
            run()
            samples.append(time.perf_counter() - started)
        return statistics.median(samples)

    return measure


def cgt_network_timer(model: Path, size: FrameSize, engine: str, seconds: float) -> FrameTimer:
    """Return a timer of cgt's engine with all cores on one frame."""
    inputs = ModelInputs(model, size)
    runner = open_engine(model, inputs.shape, engine, "latency")
    return median_timer(lambda: inputs.infer(runner), seconds)


def cgt_throughput_timer(model: Path, size: FrameSize, engine: str, seconds: float) -> FrameTimer:
    """Return a timer of cgt's engine with as many frames in flight as it recommends."""
    job = BenchmarkJob(model, size, engine, seconds=seconds)
    runner = open_engine(model, job.make_inputs().shape, engine, "throughput")
    return lambda: 1 / measure_throughput(runner, job, runner.workers).fps


def network_baselines(
    model: Path,
    fp32_model: Path,
    size: FrameSize,
    ckpt: Path | None,
    direction: Direction | None,
    seconds: float,
) -> dict[str, Callable[[], FrameTimer]]:
    """Return factories of timers by name; a factory raises MissingDependency or ModelError.

    `fp32_model` is the model in fp32 for engines that would not run int8.
    """
    inputs = ModelInputs(model, size)
    job = BenchmarkJob(model, size, "openvino", seconds=seconds)

    def pytorch(prepare: Callable[[Any, Any], tuple[Any, Any]]) -> Callable[[], FrameTimer]:
        def make() -> FrameTimer:
            torch = require_torch()
            network = load_network(model, ckpt, direction)
            network, image = prepare(network, torch.from_numpy(inputs.batch))

            def run() -> None:
                with torch.inference_mode():
                    network(image)

            run()  # torch.compile compiles in the first run
            return median_timer(run, seconds)

        return make

    return {
        "PyTorch eager, fp32": pytorch(lambda network, image: (network, image)),
        "PyTorch eager, bf16 channels_last": pytorch(_to_bf16_channels_last),
        "torch.compile, fp32": pytorch(_compile),
        "ONNX Runtime defaults, fp32": lambda: _onnxruntime_timer(fp32_model, inputs, seconds),
        "OpenVINO's benchmark_app": lambda: lambda: run_benchmark_app(job) / 1e3,
    }


def _to_bf16_channels_last(network: Any, image: Any) -> tuple[Any, Any]:
    torch = require_torch()
    kind = {"dtype": torch.bfloat16, "memory_format": torch.channels_last}
    return network.to(**kind), image.to(**kind)


def _compile(network: Any, image: Any) -> tuple[Any, Any]:
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        raise MissingDependency("torch.compile needs a C++ compiler: apt-get install g++")
    return require_torch().compile(network), image


def _onnxruntime_timer(model: Path, buffers: ModelInputs, seconds: float) -> FrameTimer:
    try:
        import onnxruntime as ort
    except ImportError:
        raise MissingDependency("pip install 'cyclegan-toolkit[ort]'") from None
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    inputs = dict(zip(names, (buffers.batch, *buffers.statistics[:1]), strict=True))
    return median_timer(lambda: session.run(None, inputs), seconds)


def write_dequantized(path: Path, quantized: Path) -> Path:
    """Write a quantized model in fp32: the tensors keep their types, the weights their rounding."""
    import onnx
    from onnx import numpy_helper

    from cgt.export.quantization.qdq import dequantized_weights

    model = onnx.load(quantized)
    graph = model.graph
    weights = dequantized_weights(graph)
    before = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "QuantizeLinear"}
    original_name = {
        node.output[0]: before[node.input[0]]
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in before
    }
    kept = [node for node in graph.node if node.output[0] not in (before | original_name | weights)]
    for node in kept:
        node.input[:] = [original_name.get(name, name) for name in node.input]
    del graph.node[:]
    graph.node.extend(kept)
    used = {name for node in kept for name in node.input}
    others = [value for value in graph.initializer if value.name in used]
    del graph.initializer[:]
    graph.initializer.extend(others)
    graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in weights.items())
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            entry.value = replace(ModelMetadata.from_json(entry.value), precision="fp32").to_json()
    onnx.save(model, path)
    return path
