"""InstanceNorm, frozen and streamed, on videos: quality, speed, seams and calm, in one run.

    python -m cgt.benchmarks.norms CHECKPOINT VIDEO ... [--frames 48] [--height 256] [-o FILE]

Frozen: statistics of a video's first quarter, compared with instance on the rest. Speed: one frame
at a time, the three models in turn. Seams: two overlapping halves of a frame against the whole, at
the seam and as a whole. Warping error: see `cgt.runtime.warping`.
"""

from __future__ import annotations

import argparse
import statistics as stat
import tempfile
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from cgt.export import export
from cgt.export.parity import psnr
from cgt.runtime.artifact import Artifact, read_artifact
from cgt.runtime.engines import BatchShape, Engine, open_engine
from cgt.runtime.opencv import cv2
from cgt.runtime.preprocess import F32, U8, pack, resize, unpack
from cgt.runtime.sources import Frame, open_source
from cgt.runtime.warping import WarpingError
from cgt.trainer.generator import TrainedGenerator, open_generator

SMOOTHINGS = (0.0, 0.5, 0.9, 0.97)
ENGINES = ("openvino", "onnxruntime")


@dataclass
class Model:
    """One norm's graph on one engine, for one size."""

    artifact: Artifact
    engine: Engine

    def __call__(self, tensor: F32, given: F32 | None = None) -> tuple[F32, F32]:
        """3,H,W -> 3,H,W and the statistics used; given: none for instance normalisation."""
        batch = np.ascontiguousarray(tensor[None])
        out = np.empty_like(batch)
        size = self.artifact.statistics
        given = np.zeros((1, size), np.float32) if given is None else given
        used = np.zeros_like(given)
        self.engine.infer(batch, out, *((given, used) if size else ()))
        return out[0], used


def opened(path: Path, size: tuple[int, int], engine: str = "openvino") -> Model:
    """FP32, so that the norm alone makes a difference."""
    artifact = read_artifact(path)
    shape = BatchShape.of(artifact, *size)
    return Model(artifact, open_engine(path, shape, engine, "latency", precision="fp32"))


def read(video: str, frames: int, height: int, multiple: int) -> list[U8]:
    """Its first frames, scaled to a height."""
    with open_source(video, audio=False) as source:
        images = [f.image for f in islice((f for f in source if isinstance(f, Frame)), frames)]
    h, w = images[0].shape[:2]
    size = tuple(round(side / multiple) * multiple for side in (height, w * height / h))
    return [resize(image, (size[0], size[1])) for image in images]


def quality(frozen: Model, instance: list[F32], tensors: list[F32]) -> tuple[float, float]:
    """PSNR of the mean error and of the worst frame, dB."""
    errors = [
        float(np.mean((frozen(x)[0] - y) ** 2)) for x, y in zip(tensors, instance, strict=True)
    ]
    return psnr(stat.mean(errors)), psnr(max(errors))


def speed(models: dict[str, Model], tensor: F32, seconds: float) -> dict[str, float]:
    """Median milliseconds of each, measured in turn so that all see the same machine."""
    samples: dict[str, list[float]] = {name: [] for name in models}
    end = time.perf_counter() + seconds
    for model in models.values():
        model(tensor)
    while time.perf_counter() < end:
        for name, model in models.items():
            start = time.perf_counter()
            model(tensor)
            samples[name].append((time.perf_counter() - start) * 1e3)
    return {name: stat.median(values) for name, values in samples.items()}


def seams(path: Path, tensor: F32) -> dict[str, tuple[float, float]]:
    """For instance and streamed statistics: mean absolute difference, in levels, of the two halves
    to each other in 16 columns at the seam, and of both to the whole picture."""
    _, height, width = tensor.shape
    half = (width // 2 + 32) // 4 * 4  # the halves overlap
    whole, tile = opened(path, (height, width)), opened(path, (height, half))
    full, used = whole(tensor)
    used[0, 0] = 1
    found = {}
    for name, given in (("instance", None), ("stream", used)):
        left = tile(tensor[:, :, :half], given)[0]
        right = tile(tensor[:, :, width - half :], given)[0]
        middle = slice(width // 2 - 8, width // 2 + 8)
        shifted = slice(middle.start - (width - half), middle.stop - (width - half))
        at_seam = np.abs(left[:, :, middle] - right[:, :, shifted]).mean()
        joined = np.concatenate([left[:, :, : width // 2], right[:, :, width // 2 - width :]], 2)
        found[name] = float(at_seam * 127.5), float(np.abs(joined - full).mean() * 127.5)
    return found


def smoothed(model: Model, tensors: list[F32], past: float) -> list[U8]:
    """The video with the statistics of the past weighing `past`."""
    given, images = None, []
    for tensor in tensors:
        out, given = model(tensor, given)
        given[0, 0] = past
        images.append(unpack(out))
    return images


def warping_error(inputs: list[U8], outputs: list[U8]) -> float:
    """Times 1e5, as the table has it."""
    error = WarpingError()
    for image, translated in zip(inputs, outputs, strict=True):
        error.add(image, translated)
    return 1e5 * error.mean


def rows(
    source: TrainedGenerator, video: str, frames: int, height: int, seconds: float, folder: Path
) -> list[tuple[str, str]]:
    """The table of one video: what, and how much."""
    images = read(video, frames, height, source.multiple)
    size = images[0].shape[:2]
    paths = {name: folder / f"{name}.onnx" for name in ("instance", "frozen", "stream")}
    first = folder / "first"
    first.mkdir(exist_ok=True)
    quarter = max(10, len(images) // 4)
    for index, image in enumerate(images[:quarter]):
        cv2.imwrite(str(first / f"{index:03}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    wishes: dict[str, dict[str, Any]] = {
        "frozen": {"calib": str(first), "calib_frames": quarter - 2, "min_psnr": 0.0}
    }
    for name, path in paths.items():
        fixed = f"{size[0]}x{size[1]}" if name != "stream" else None
        export(source, path, norm=name, size=fixed, **wishes.get(name, {}))
    tensors = [pack(image) for image in images]
    instance = opened(paths["instance"], size)
    later = tensors[quarter:]
    answers = [instance(x)[0] for x in later]
    mean, worst = quality(opened(paths["frozen"], size), answers, later)
    untouched = psnr(
        stat.mean(float(np.mean((x - y) ** 2)) for x, y in zip(later, answers, strict=True))
    )
    found = [
        ("frozen against instance, dB (worst frame)", f"{mean:.1f} ({worst:.1f})"),
        ("untranslated input against instance, dB", f"{untouched:.1f}"),
    ]
    for engine in ENGINES:
        models = {name: opened(path, size, engine) for name, path in paths.items()}
        for name, milliseconds in speed(models, tensors[0], seconds).items():
            found.append((f"{engine} fp32, {name}, ms", f"{milliseconds:.0f}"))
    for name, (at_seam, off) in seams(paths["stream"], tensors[len(tensors) // 2]).items():
        found.append(
            (f"tiles, {name}: at the seam, off the whole (levels)", f"{at_seam:.2f}, {off:.2f}")
        )
    found.append(("warping error x 1e5, input", f"{warping_error(images, images):.1f}"))
    stream = opened(paths["stream"], size)
    sharp = smoothed(stream, tensors, 0.0)
    for past in SMOOTHINGS:
        calm = smoothed(stream, tensors, past)
        error = stat.mean(
            float(np.mean((a / 127.5 - b / 127.5) ** 2)) for a, b in zip(calm, sharp, strict=True)
        )
        figure = f"{warping_error(images, calm):.1f}"
        if past:
            figure += f" ({psnr(error):.1f} dB from unsmoothed)"
        found.append((f"warping error x 1e5, smoothing {past:g}", figure))
    return found


def main() -> None:
    """Print the table, and write it where -o says."""
    parser = argparse.ArgumentParser(prog="python -m cgt.benchmarks.norms")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("videos", nargs="+")
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    source = open_generator(asked.checkpoint)
    columns = []
    for video in asked.videos:
        with tempfile.TemporaryDirectory() as folder:
            made = (source, video, asked.frames, asked.height, asked.seconds, Path(folder))
            columns.append(rows(*made))
    lines = [["", *(Path(video).name for video in asked.videos)], ["---"] * (1 + len(columns))]
    lines += [[row[0][0], *(cell for _, cell in row)] for row in zip(*columns, strict=True)]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    print(text)
    if asked.output:
        asked.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
