"""What `--calm` does for a video, and what it costs.

    python -m cgt.benchmarks.calm [VIDEO] [--model FILE] [--weights 0,0.5,0.9] [--frames 48]

Warping error of the translation (see cgt.runtime.warping) by weight of the past, beside that of
the input itself; the distance from the picture without calm; milliseconds a frame with and
without, interleaved. A model exported with `--norm stream` is calmed by its statistics, any other
by optical flow.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from cgt.runtime.calm import Scenes
from cgt.runtime.clip import sample_clip
from cgt.runtime.preprocess import U8, resize
from cgt.runtime.sources import Frame, open_source
from cgt.runtime.translator import BUNDLED_MODEL, Translator
from cgt.runtime.wanted import limited
from cgt.runtime.warping import WarpingError

from .command import run_command


def steadiness(frames: list[U8], pictures: list[U8]) -> float:
    """Warping error within scenes."""
    error, scenes = WarpingError(), Scenes()
    for frame, picture in zip(frames, pictures, strict=True):
        if scenes.look(frame) != "same":
            error.cut()
        error.add(resize(frame, (picture.shape[0], picture.shape[1])), picture)
    return error.mean


def psnr(a: list[U8], b: list[U8]) -> float:
    """Decibels between two videos; infinite where they are equal."""
    squares = [((x.astype(int) - y) ** 2).mean() for x, y in zip(a, b, strict=True)]
    mean = float(np.mean(squares))
    return 10 * math.log10(255**2 / mean) if mean else math.inf


@click.command()
@click.argument(
    "video", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False
)
@click.option("--model", type=click.Path(path_type=Path), default=BUNDLED_MODEL)
@click.option("--weights", default="0,0.5,0.9", show_default=True)
@click.option("--start", default=1.0, show_default=True, help="Seconds.")
@click.option("--frames", default=48, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path))
def main(
    video: Path | None,
    model: Path,
    weights: str,
    start: float,
    frames: int,
    json_path: Path | None,
) -> None:
    """Prints a table."""
    video = video or sample_clip()
    with open_source(str(video), audio=False, start=start) as source:
        images = [item.image for item in limited(source, frames) if isinstance(item, Frame)]
        size, aspect = source.size, source.aspect
    values = [float(weight) for weight in weights.split(",")]
    makers = {
        weight: Translator(model, frame=size, aspect=aspect, calm=weight) for weight in values
    }
    made: dict[float, list[U8]] = {weight: [] for weight in values}
    times: dict[float, list[float]] = {weight: [] for weight in values}
    for image in images:
        for weight, translator in makers.items():
            began = time.perf_counter()
            made[weight].append(translator(image))
            times[weight].append((time.perf_counter() - began) * 1e3)
    shape = made[values[0]][0].shape[:2]
    plain = steadiness(images, [resize(image, (shape[0], shape[1])) for image in images])
    how = makers[values[-1]].calming
    table = Table(
        "weight",
        "warping error",
        "PSNR to the first",
        "ms a frame",
        title=f"{video.name}, {model.name} at {shape[0]}x{shape[1]}, by {how}",
    )
    table.add_row("input", f"{plain:.6f}", "", "")
    facts: dict[str, object] = {"input": plain, "by": how, "frames": len(images)}
    for weight in values:
        error, distance = steadiness(images, made[weight]), psnr(made[weight], made[values[0]])
        cost = statistics.median(times[weight])
        table.add_row(f"{weight:g}", f"{error:.6f}", f"{distance:.1f} dB", f"{cost:.2f}")
        facts[f"{weight:g}"] = {"warping_error": error, "psnr_db": distance, "ms": cost}
        makers[weight].close()
    Console().print(table)
    if json_path:
        json_path.write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    run_command(main)
