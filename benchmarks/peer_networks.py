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
from .feed import Feed
from .session import Job, overlap
from .torch_network import load_network, need_torch

Seconds = Callable[[], float]
Size = tuple[int, int]

WARM_UP = 3


def median_of(run: Callable[[], object], seconds: float) -> Seconds:
    """Seconds of one run, median of as many as go into `seconds`; warmed up each time."""

    def measure() -> float:
        for _ in range(WARM_UP):
            run()
        samples: list[float] = []
        end = time.perf_counter() + seconds
        while (started := time.perf_counter()) < end or len(samples) < 3:
            run()
            samples.append(time.perf_counter() - started)
        return statistics.median(samples)

    return measure


def our_network(model: Path, size: Size, engine: str, seconds: float) -> Seconds:
    """`cgt`'s engine, all cores on one frame."""
    feed = Feed(model, size)
    runner = open_engine(model, feed.shape, engine, "latency")
    return median_of(lambda: feed.run(runner), seconds)


def our_throughput(model: Path, size: Size, engine: str, seconds: float) -> Seconds:
    """`cgt`'s engine, as many frames in flight as it recommends, as in a video."""
    job = Job(model, size, engine, seconds=seconds)
    runner = open_engine(model, job.feed().shape, engine, "throughput")
    return lambda: 1 / overlap(runner, job, runner.workers).fps


def network_peers(
    model: Path,
    plain: Path,
    size: Size,
    ckpt: Path | None,
    direction: Direction | None,
    seconds: float,
) -> dict[str, Callable[[], Seconds]]:
    """By name. plain: the same in fp32. Making one raises MissingDependency and ModelError."""
    feed = Feed(model, size)
    job = Job(model, size, "openvino", seconds=seconds)

    def torch(prepare: Callable[[Any, Any], tuple[Any, Any]]) -> Callable[[], Seconds]:
        def make() -> Seconds:
            torch = need_torch()
            network = load_network(model, ckpt, direction)
            network, image = prepare(network, torch.from_numpy(feed.batch))

            def run() -> None:
                with torch.inference_mode():
                    network(image)

            run()  # compiles, where that is to be done
            return median_of(run, seconds)

        return make

    return {
        "PyTorch eager, fp32": torch(lambda network, image: (network, image)),
        "PyTorch eager, bf16 channels_last": torch(_bf16),
        "torch.compile, fp32": torch(_compiled),
        "ONNX Runtime, its defaults, fp32": lambda: _onnxruntime(plain, feed, seconds),
        "OpenVINO's benchmark_app": lambda: lambda: run_benchmark_app(job) / 1e3,
    }


def _bf16(network: Any, image: Any) -> tuple[Any, Any]:
    torch = need_torch()
    kind = {"dtype": torch.bfloat16, "memory_format": torch.channels_last}
    return network.to(**kind), image.to(**kind)


def _compiled(network: Any, image: Any) -> tuple[Any, Any]:
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        raise MissingDependency("it needs a C++ compiler: apt-get install g++")
    return need_torch().compile(network), image


def _onnxruntime(model: Path, feed: Feed, seconds: float) -> Seconds:
    try:
        import onnxruntime as ort
    except ImportError:
        raise MissingDependency("pip install 'cyclegan-toolkit[ort]'") from None
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    inputs = dict(zip(names, (feed.batch, *feed.statistics[:1]), strict=True))
    return median_of(lambda: session.run(None, inputs), seconds)
