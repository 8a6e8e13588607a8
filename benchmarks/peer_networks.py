"""Other ways to run the same network. Each gives seconds per frame: the median of some runs."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cgt.runtime.artifact import Direction
from cgt.runtime.engines import open_engine
from cgt.runtime.errors import MissingDependency

from .benchmark_app import run_benchmark_app
from .feed import ModelInputs
from .session import BenchmarkJob, measure_throughput
from .torch_network import load_network, require_torch

FrameTimer = Callable[[], float]
FrameSize = tuple[int, int]

WARM_UP_RUNS = 3


def median_timer(run: Callable[[], object], seconds: float) -> FrameTimer:
    """Seconds of one run, median of as many as go into `seconds`; warmed up each time."""

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
    """`cgt`'s engine, all cores on one frame."""
    inputs = ModelInputs(model, size)
    runner = open_engine(model, inputs.shape, engine, "latency")
    return median_timer(lambda: inputs.infer(runner), seconds)


def cgt_throughput_timer(model: Path, size: FrameSize, engine: str, seconds: float) -> FrameTimer:
    """`cgt`'s engine, as many frames in flight as it recommends, as in a video."""
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
    """By name. plain: the same in fp32. Making one raises MissingDependency and ModelError."""
    inputs = ModelInputs(model, size)
    job = BenchmarkJob(model, size, "openvino", seconds=seconds)

    def torch(prepare: Callable[[Any, Any], tuple[Any, Any]]) -> Callable[[], FrameTimer]:
        def make() -> FrameTimer:
            torch = require_torch()
            network = load_network(model, ckpt, direction)
            network, image = prepare(network, torch.from_numpy(inputs.batch))

            def run() -> None:
                with torch.inference_mode():
                    network(image)

            run()  # compiles, where that is to be done
            return median_timer(run, seconds)

        return make

    return {
        "PyTorch eager, fp32": torch(lambda network, image: (network, image)),
        "PyTorch eager, bf16 channels_last": torch(_to_bf16_channels_last),
        "torch.compile, fp32": torch(_compile),
        "ONNX Runtime, its defaults, fp32": lambda: _onnxruntime_timer(fp32_model, inputs, seconds),
        "OpenVINO's benchmark_app": lambda: lambda: run_benchmark_app(job) / 1e3,
    }


def _to_bf16_channels_last(network: Any, image: Any) -> tuple[Any, Any]:
    torch = require_torch()
    kind = {"dtype": torch.bfloat16, "memory_format": torch.channels_last}
    return network.to(**kind), image.to(**kind)


def _compile(network: Any, image: Any) -> tuple[Any, Any]:
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        raise MissingDependency("it needs a C++ compiler: apt-get install g++")
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
