"""C kernels against Pillow, OpenCV and NumPy.

    python -m benchmarks.suites.kernels [--json FILE]

Each runs on one thread. The times are medians of alternating runs. "min. MB" is what a kernel has
to read and write at least. "% of copy" is the time of a plain copy of as many bytes divided by the
kernel's time: 100 % is as fast as memory (or the cache that holds all of it) allows.
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
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from cgt.benchmarks.harness.environment import describe_machine
from cgt.runtime.errors import MissingDependency
from cgt.runtime.image.preprocess import (
    F32,
    U8,
    YUV,
    Packer,
    pack,
    resize,
    simd_instruction_set,
    to_yuv,
    unpack,
)
from cgt.runtime.image.upsample import Upsampler, view_small_image
from cgt.runtime.image.validation import make_image_view

NUM_ROUNDS, RUNS_PER_ROUND = 15, 12  # alternating rounds; consecutive runs in each
MAX_ROUND_S = 0.1  # a slow baseline has fewer runs per round
COPY_BYTES = 256 << 20  # larger than any cache

RunFn = Callable[[], object]


@dataclass(frozen=True)
class KernelBenchmark:
    """A kernel, its baselines by name, and the bytes that it has to read and write."""

    kernel: str
    run: RunFn
    baselines: dict[str, RunFn]
    min_bytes: int


@dataclass(frozen=True)
class KernelResult:
    """Milliseconds of one kernel and of its baselines."""

    kernel: str
    milliseconds: float
    variation: float  # half of the interquartile range, divided by the median
    baselines: dict[str, float]  # milliseconds
    min_bytes: int
    copy_milliseconds: float  # of a copy of min_bytes

    @property
    def ratios(self) -> dict[str, float]:
        """Return each baseline's time divided by the kernel's."""
        return {
            name: baseline_ms / self.milliseconds for name, baseline_ms in self.baselines.items()
        }


def kernel_benchmarks() -> list[KernelBenchmark]:
    """Return all benchmarks. Raises MissingDependency without Pillow."""
    return [
        _frame_to_tensor(720, 1280, 256),
        _frame_to_tensor(1080, 1920, 512),
        _same_size(256),
        _nv12_to_tensor(720, 1280, 256),
        _unpack(256),
        _unpack(512),
        _resize(720, 1280, 256),
        _pack_bytes(1080, 1920, 256),
        _to_yuv(720, 1280),
        _unpack_yuv(512),
        *_guided_upsampling(720, 1280),
        *_guided_upsampling(1080, 1920),
    ]


def _random_bytes(*shape: int) -> U8:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def _numpy_to_tensor(rgb: NDArray[Any]) -> F32:
    """Convert HWC bytes to CHW floats in [-1, 1] with NumPy."""
    return np.ascontiguousarray((rgb.astype(np.float32) * (1 / 127.5) - 1).transpose(2, 0, 1))


def _require_pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise MissingDependency("Pillow is missing; pip install 'cyclegan-toolkit[dev]'") from None
    return Image


def _frame_to_tensor(height: int, width: int, side: int) -> KernelBenchmark:
    image, out = _random_bytes(height, width, 3), np.empty((3, side, side), np.float32)
    packer = Packer((height, width), (side, side), swap_rb=True)
    pil = _require_pillow()

    def pillow() -> F32:
        # Pillow has no BGR; the bytes are passed as they are, which saves it the swap.
        return _numpy_to_tensor(np.asarray(pil.fromarray(image).resize((side, side), 2)))

    def opencv(interpolation: int) -> RunFn:
        def run() -> F32:
            small = cv2.resize(image, (side, side), interpolation=interpolation)
            return _numpy_to_tensor(cv2.cvtColor(small, cv2.COLOR_BGR2RGB))

        return run

    return KernelBenchmark(
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


def _same_size(side: int) -> KernelBenchmark:
    image, out = _random_bytes(side, side, 3), np.empty((3, side, side), np.float32)
    packer = Packer((side, side), swap_rb=True)
    return KernelBenchmark(
        f"pack {side}x{side} BGR -> float32 RGB",
        lambda: packer(image, out),
        {"OpenCV + NumPy": lambda: _numpy_to_tensor(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))},
        image.nbytes + out.nbytes,
    )


def _nv12_to_tensor(height: int, width: int, side: int) -> KernelBenchmark:
    nv12 = _random_bytes(height * 3 // 2, width)
    image = YUV(nv12[:height], nv12[height:].reshape(height // 2, width // 2, 2))
    packer, out = Packer((height, width), (side, side)), np.empty((3, side, side), np.float32)

    def convert_then_pack() -> object:
        return packer(np.asarray(cv2.cvtColor(nv12, cv2.COLOR_YUV2RGB_NV12), np.uint8), out)

    return KernelBenchmark(
        f"pack {width}x{height} NV12 -> {side}x{side} float32 RGB, antialiased",
        lambda: packer(image, out),
        {"OpenCV NV12 to RGB, then our pack": convert_then_pack},
        nv12.nbytes + out.nbytes,
    )


def _unpack(side: int) -> KernelBenchmark:
    tensor = np.random.default_rng(0).uniform(-1.1, 1.1, (3, side, side)).astype(np.float32)
    out = np.empty((side, side, 3), np.uint8)

    def with_numpy() -> U8:
        levels = np.clip(np.rint((tensor + 1) * 127.5), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(levels.transpose(1, 2, 0)[..., ::-1])

    return KernelBenchmark(
        f"unpack {side}x{side} float32 RGB -> BGR",
        lambda: unpack(tensor, True, out),
        {"NumPy": with_numpy},
        tensor.nbytes + out.nbytes,
    )


def _resize(height: int, width: int, side: int) -> KernelBenchmark:
    image, out = _random_bytes(height, width, 3), np.empty((side, side, 3), np.uint8)
    pil_image = _require_pillow().fromarray(image)
    return KernelBenchmark(
        f"resize {width}x{height} -> {side}x{side} bytes, antialiased",
        lambda: resize(image, (side, side), out=out),
        {
            "Pillow bilinear": lambda: pil_image.resize((side, side), 2),
            "OpenCV INTER_AREA": lambda: cv2.resize(
                image, (side, side), interpolation=cv2.INTER_AREA
            ),
        },
        image.nbytes + out.nbytes,
    )


def _pack_bytes(height: int, width: int, side: int) -> KernelBenchmark:
    image, out = _random_bytes(height, width, 3), np.empty((side, side, 3), np.uint8)
    packer = Packer((height, width), (side, side), dtype=np.uint8, layout="HWC")
    return KernelBenchmark(
        f"pack {width}x{height} -> {side}x{side} bytes, antialiased",
        lambda: packer(image, out),
        {
            "our resize (the bytes of Pillow)": lambda: resize(image, (side, side), out=out),
            "OpenCV INTER_AREA": lambda: cv2.resize(
                image, (side, side), interpolation=cv2.INTER_AREA
            ),
        },
        image.nbytes + out.nbytes,
    )


def _to_yuv(height: int, width: int) -> KernelBenchmark:
    image, out = _random_bytes(height, width, 3), YUV.empty((height, width))
    return KernelBenchmark(
        f"convert {width}x{height} RGB -> I420, rounded to nearest",
        lambda: to_yuv(image, out=out),
        {"OpenCV": lambda: cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420)},
        image.nbytes * 3 // 2,
    )


def _unpack_yuv(side: int) -> KernelBenchmark:
    tensor = np.random.default_rng(0).uniform(-1.1, 1.1, (3, side, side)).astype(np.float32)
    image, out = np.empty((side, side, 3), np.uint8), YUV.empty((side, side))
    return KernelBenchmark(
        f"unpack {side}x{side} float32 RGB -> I420",
        lambda: unpack(tensor, out=out),
        {
            "our unpack, then OpenCV": lambda: cv2.cvtColor(
                unpack(tensor, out=image), cv2.COLOR_RGB2YUV_I420
            )
        },
        tensor.nbytes + side * side * 3 // 2,
    )


def upsample_with_opencv(image: U8, guide: U8, translated: U8, radius: int, eps: float) -> U8:
    """Upsample by the guided filter with a color guide, with OpenCV and NumPy in float32."""
    height, width = guide.shape[:2]
    window, borders = (2 * radius + 1, 2 * radius + 1), cv2.BORDER_CONSTANT

    def window_sum(values: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(cv2.boxFilter(values, -1, window, normalize=False, borderType=borders))

    inverse_area = 1 / window_sum(np.ones((height, width), np.float32))

    def mean(values: NDArray[Any]) -> NDArray[Any]:
        return window_sum(values) * inverse_area

    i = [np.ascontiguousarray(guide[..., c], np.float32) / 255 for c in range(3)]
    p = [np.ascontiguousarray(translated[..., c], np.float32) / 255 for c in range(3)]
    mean_i, mean_p = [mean(x) for x in i], [mean(x) for x in p]
    rr, rg, rb, gg, gb, bb = (
        mean(i[j] * i[k]) - mean_i[j] * mean_i[k] + (eps if j == k else 0)
        for j in range(3)
        for k in range(j, 3)
    )
    cofactors = [gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb]
    inverse_det = 1 / (cofactors[0] * rr + cofactors[1] * rg + cofactors[2] * rb)
    cofactors += [rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg]
    c00, c01, c02, c11, c12, c22 = (c * inverse_det for c in cofactors)
    wide = image.astype(np.float32)
    out = np.empty_like(image)
    for c in range(3):
        x, y, z = (mean(i[k] * p[c]) - mean_i[k] * mean_p[c] for k in range(3))
        a = [c00 * x + c01 * y + c02 * z, c01 * x + c11 * y + c12 * z, c02 * x + c12 * y + c22 * z]
        b = mean_p[c] - a[0] * mean_i[0] - a[1] * mean_i[1] - a[2] * mean_i[2]
        small = np.stack([mean(x) for x in (*a, b * 255)], -1)
        full = cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        level = full[..., 3] + sum(full[..., k] * wide[..., k] for k in range(3))
        out[..., c] = cv2.convertScaleAbs(np.maximum(level, 0))
    return out


def _guided_upsampling(height: int, width: int) -> list[KernelBenchmark]:
    small_height, small_width = 256, 456
    image = resize(_random_bytes(height // 8, width // 8, 3), (height, width))
    guide = pack(image, (small_height, small_width))
    translated = np.ascontiguousarray(-guide[::-1])
    small = unpack(guide), unpack(translated)
    yuv, out_yuv, out = to_yuv(image), YUV.empty((height, width)), np.empty_like(image)
    title = f"upsample {small_width}x{small_height} -> {width}x{height}, guided"
    num_coefficients = small_height * small_width * 12 * 2

    def baseline() -> object:
        return upsample_with_opencv(image, *small, radius=4, eps=1e-4)

    benchmarks = []
    for kind, source, target in (("RGB", image, out), ("I420", yuv, out_yuv)):
        upsampler = Upsampler((height, width), (small_height, small_width))
        upsampler(source, guide, translated, target)
        views = [view_small_image(x, "x", upsampler.size) for x in (guide, translated)]
        frames = [make_image_view(x)[0] for x in (source, target)]
        frame_bytes = 2 * image.nbytes // (1 if kind == "RGB" else 2)
        benchmarks += [
            KernelBenchmark(
                f"{title}, {kind}" if kind == "RGB" else f"  the same, {kind}",
                partial(upsampler, source, guide, translated, target),
                {"OpenCV + NumPy": baseline} if kind == "RGB" else {},
                frame_bytes,
            ),
            KernelBenchmark(
                f"  the coefficients, {kind}",
                partial(upsampler.fit, *views),
                {},
                2 * guide.nbytes + num_coefficients,
            ),
            KernelBenchmark(
                f"  their application, {kind}",
                partial(upsampler.apply, *frames),
                {},
                num_coefficients + frame_bytes,
            ),
        ]
    return benchmarks


def measure_kernel(benchmark: KernelBenchmark) -> KernelResult:
    """Measure a kernel and its baselines in alternating rounds of several runs.

    Neither the state of the machine nor what the previous run left in the caches favors any of
    them.
    """
    half = np.empty(benchmark.min_bytes // 2, np.uint8)
    other = np.zeros_like(half)
    runs = {"": benchmark.run, "copy": lambda: np.copyto(half, other), **benchmark.baselines}
    samples: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(NUM_ROUNDS + 1):
        for name, run in runs.items():
            round_start = time.perf_counter()
            for _ in range(RUNS_PER_ROUND):
                started = time.perf_counter()
                run()
                ended = time.perf_counter()
                if turn:  # the first round warms up
                    samples[name].append((ended - started) * 1e3)
                if ended - round_start > MAX_ROUND_S:
                    break
    medians = {name: statistics.median(times) for name, times in samples.items()}
    low, _, high = statistics.quantiles(samples[""], n=4)
    return KernelResult(
        benchmark.kernel,
        medians[""],
        (high - low) / 2 / medians[""],
        {name: medians[name] for name in benchmark.baselines},
        benchmark.min_bytes,
        medians["copy"],
    )


def measure_copy_bandwidth() -> float:
    """Return the bytes per second that a copy larger than the caches reads and writes."""
    source = np.zeros(COPY_BYTES, np.uint8)
    target = np.empty_like(source)
    times = []
    for _ in range(6):
        started = time.perf_counter()
        np.copyto(target, source)
        times.append(time.perf_counter() - started)
    return 2 * source.nbytes / statistics.median(times[1:])


def to_json(results: list[KernelResult], copy_bandwidth: float) -> dict[str, Any]:
    """Return the results as JSON types."""
    return {
        "cpu": describe_machine()["cpu"],
        "simd": simd_instruction_set(),
        "load": os.getloadavg()[0],  # of the last minute, this program included
        "copy_gigabytes_per_second": copy_bandwidth / 1e9,
        "versions": {
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "pillow": importlib.import_module("PIL").__version__,
        },
        "kernels": [{**asdict(result), "ratios": result.ratios} for result in results],
    }


def print_table(results: list[KernelResult], copy_bandwidth: float) -> None:
    """Print the results as a table."""
    cpu = describe_machine()["cpu"]
    table = Table(
        title=f"{cpu}, {simd_instruction_set()}, one thread; copying a large array moves "
        f"{copy_bandwidth / 1e9:.1f} GB/s"
    )
    for name in ("kernel and baselines", "ms", "ratio", "min. MB", "GB/s", "% of copy"):
        table.add_column(name, justify="left" if name.startswith("kernel") else "right")
    for result in results:
        table.add_row(
            result.kernel,
            f"{result.milliseconds:.3f} ±{result.variation:.0%}",
            "1",
            f"{result.min_bytes / 1e6:.2f}",
            f"{result.min_bytes / result.milliseconds / 1e6:.1f}",
            f"{result.copy_milliseconds / result.milliseconds:.0%}",
        )
        for name, milliseconds in result.baselines.items():
            table.add_row(f"  {name}", f"{milliseconds:.3f}", f"{result.ratios[name]:.2f}")
        table.add_section()
    Console(width=120).print(table)


def main() -> None:
    """Measure, print, and write the JSON file if one was given."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        prog="python -m benchmarks.suites.kernels",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results to FILE")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    copy_bandwidth = measure_copy_bandwidth()
    results = [measure_kernel(benchmark) for benchmark in kernel_benchmarks()]
    print_table(results, copy_bandwidth)
    if arguments.json:
        text = json.dumps(to_json(results, copy_bandwidth), indent=2) + "\n"
        arguments.json.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
