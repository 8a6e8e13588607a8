"""The C kernels beside what one would use instead: python -m cgt.benchmarks.kernels [--json FILE]

One thread each, medians of one run in which all take turns. "touched" is what a kernel has to
read and write at least; "of copy" is how long a plain copy of as many bytes takes, by how long the
kernel takes: 100 % is as fast as memory (or the cache that it all fits in) allows.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from cgt.runtime.errors import MissingDependency
from cgt.runtime.preprocess import F32, U8, YUV, Packer, resize, simd_path, unpack

from .machine import describe_machine

ROUNDS, REPEATS = 15, 12  # turns, and runs in a row in each of them
LARGE = 256 << 20  # bytes: more than any cache

Run = Callable[[], object]


@dataclass(frozen=True)
class Contest:
    """A kernel, its peers by name, and the bytes it has to read and write."""

    kernel: str
    ours: Run
    peers: dict[str, Run]
    touched: int


@dataclass(frozen=True)
class Measured:
    """One kernel: milliseconds, and what they are compared with."""

    kernel: str
    milliseconds: float
    variation: float  # half the distance of the quartiles, by the median
    peers: dict[str, float]  # milliseconds
    touched: int
    copy_milliseconds: float  # of as many bytes

    @property
    def ratios(self) -> dict[str, float]:
        """How many times as long each peer takes."""
        return {name: time / self.milliseconds for name, time in self.peers.items()}


def contests() -> list[Contest]:
    """What is measured. Raises MissingDependency without Pillow."""
    return [
        _frame_to_tensor(720, 1280, 256),
        _frame_to_tensor(1080, 1920, 512),
        _same_size(256),
        _nv12_to_tensor(720, 1280, 256),
        _unpack(256),
        _unpack(512),
        _resize(720, 1280, 256),
    ]


def _noise(*shape: int) -> U8:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def _to_tensor(rgb: NDArray[Any]) -> F32:
    """The usual NumPy: HWC bytes to CHW floats in [-1, 1]."""
    return np.ascontiguousarray((rgb.astype(np.float32) * (1 / 127.5) - 1).transpose(2, 0, 1))


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise MissingDependency("Pillow is missing; pip install 'cyclegan-toolkit[dev]'") from None
    return Image


def _frame_to_tensor(height: int, width: int, side: int) -> Contest:
    image, out = _noise(height, width, 3), np.empty((3, side, side), np.float32)
    packer = Packer((height, width), (side, side), swap_rb=True)
    pil = _pillow()

    def pillow() -> F32:
        # Pillow knows no BGR; it is given the bytes as they are, which spares it the swap.
        return _to_tensor(np.asarray(pil.fromarray(image).resize((side, side), 2)))

    def opencv(interpolation: int) -> Run:
        def run() -> F32:
            small = cv2.resize(image, (side, side), interpolation=interpolation)
            return _to_tensor(cv2.cvtColor(small, cv2.COLOR_BGR2RGB))

        return run

    return Contest(
        f"pack {width}x{height} BGR -> {side}x{side} float32 RGB, antialiased",
        lambda: packer(image, out),
        {
            "Pillow bilinear + NumPy": pillow,
            "OpenCV INTER_AREA + NumPy": opencv(cv2.INTER_AREA),
            "OpenCV INTER_LINEAR (aliased) + NumPy": opencv(cv2.INTER_LINEAR),
            "cv2.dnn.blobFromImage (aliased)": lambda: cv2.dnn.blobFromImage(
                image, 1 / 127.5, (side, side), (127.5, 127.5, 127.5), swapRB=True
            ),
        },
        image.nbytes + out.nbytes,
    )


def _same_size(side: int) -> Contest:
    image, out = _noise(side, side, 3), np.empty((3, side, side), np.float32)
    packer = Packer((side, side), swap_rb=True)
    return Contest(
        f"pack {side}x{side} BGR -> float32 RGB",
        lambda: packer(image, out),
        {"OpenCV + NumPy": lambda: _to_tensor(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))},
        image.nbytes + out.nbytes,
    )


def _nv12_to_tensor(height: int, width: int, side: int) -> Contest:
    together = _noise(height * 3 // 2, width)
    picture = YUV(together[:height], together[height:].reshape(height // 2, width // 2, 2))
    packer, out = Packer((height, width), (side, side)), np.empty((3, side, side), np.float32)

    def by_rgb() -> object:
        return packer(np.asarray(cv2.cvtColor(together, cv2.COLOR_YUV2RGB_NV12), np.uint8), out)

    return Contest(
        f"pack {width}x{height} NV12 -> {side}x{side} float32 RGB, antialiased",
        lambda: packer(picture, out),
        {"OpenCV NV12 to RGB, then our pack": by_rgb},
        together.nbytes + out.nbytes,
    )


def _unpack(side: int) -> Contest:
    tensor = np.random.default_rng(0).uniform(-1.1, 1.1, (3, side, side)).astype(np.float32)
    out = np.empty((side, side, 3), np.uint8)

    def with_numpy() -> U8:
        levels = np.clip(np.rint((tensor + 1) * 127.5), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(levels.transpose(1, 2, 0)[..., ::-1])

    return Contest(
        f"unpack {side}x{side} float32 RGB -> BGR",
        lambda: unpack(tensor, True, out),
        {"NumPy": with_numpy},
        tensor.nbytes + out.nbytes,
    )


def _resize(height: int, width: int, side: int) -> Contest:
    image, out = _noise(height, width, 3), np.empty((side, side, 3), np.uint8)
    picture = _pillow().fromarray(image)
    return Contest(
        f"resize {width}x{height} -> {side}x{side} bytes, antialiased",
        lambda: resize(image, (side, side), out=out),
        {
            "Pillow bilinear": lambda: picture.resize((side, side), 2),
            "OpenCV INTER_AREA": lambda: cv2.resize(
                image, (side, side), interpolation=cv2.INTER_AREA
            ),
        },
        image.nbytes + out.nbytes,
    )


def measure(contest: Contest) -> Measured:
    """All take turns, several runs in a row each, so that neither the machine's mood nor what the
    one before left in the caches favours any."""
    half = np.empty(contest.touched // 2, np.uint8)
    other = np.zeros_like(half)
    runs = {"": contest.ours, "copy": lambda: np.copyto(half, other), **contest.peers}
    samples: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(ROUNDS + 1):
        for name, run in runs.items():
            for _ in range(REPEATS):
                started = time.perf_counter()
                run()
                if turn:  # the first is to warm up
                    samples[name].append((time.perf_counter() - started) * 1e3)
    medians = {name: statistics.median(times) for name, times in samples.items()}
    low, _, high = statistics.quantiles(samples[""], n=4)
    return Measured(
        contest.kernel,
        medians[""],
        (high - low) / 2 / medians[""],
        {name: medians[name] for name in contest.peers},
        contest.touched,
        medians["copy"],
    )


def bandwidth() -> float:
    """Bytes per second that a copy larger than the caches reads and writes."""
    source = np.zeros(LARGE, np.uint8)
    target = np.empty_like(source)
    times = []
    for _ in range(6):
        started = time.perf_counter()
        np.copyto(target, source)
        times.append(time.perf_counter() - started)
    return 2 * source.nbytes / statistics.median(times[1:])


def report(results: list[Measured], copy: float) -> dict[str, Any]:
    """What is printed, as JSON types."""
    return {
        "cpu": describe_machine()["cpu"],
        "simd": simd_path(),
        "load": os.getloadavg()[0],  # of the last minute, this program included
        "copy_gigabytes_per_second": copy / 1e9,
        "versions": {
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "pillow": importlib.import_module("PIL").__version__,
        },
        "kernels": [{**asdict(result), "ratios": result.ratios} for result in results],
    }


def show(results: list[Measured], copy: float) -> None:
    """Print the table."""
    cpu = describe_machine()["cpu"]
    table = Table(
        title=f"{cpu}, {simd_path()}, one thread; copying a large array moves {copy / 1e9:.1f} GB/s"
    )
    for name in ("kernel and its peers", "ms", "ratio", "touched", "GB/s", "of copy"):
        table.add_column(name, justify="left" if name.startswith("kernel") else "right")
    for result in results:
        table.add_row(
            result.kernel,
            f"{result.milliseconds:.3f} ±{result.variation:.0%}",
            "1",
            f"{result.touched / 1e6:.2f} MB",
            f"{result.touched / result.milliseconds / 1e6:.1f}",
            f"{result.copy_milliseconds / result.milliseconds:.0%}",
        )
        for name, milliseconds in result.peers.items():
            table.add_row(f"  {name}", f"{milliseconds:.3f}", f"{result.ratios[name]:.2f}")
        table.add_section()
    Console(width=120).print(table)


def main() -> None:
    """Measure, print, and write the JSON file that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m cgt.benchmarks.kernels")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    copy = bandwidth()
    results = [measure(contest) for contest in contests()]
    show(results, copy)
    if arguments.json:
        text = json.dumps(report(results, copy), indent=2) + "\n"
        arguments.json.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
