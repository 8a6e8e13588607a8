"""What a translation costs, and how many machines: python -m cgt.benchmarks.scale [VIDEO]
[--frames N] [--results docs/scale.md]

Each stage runs alone on pictures of 1080p; its CPU time per frame (all threads of the process) is
the same on a busy machine. GPUs are projected from datasheets. `scale_model` adds it up.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import numpy as np

from cgt.runtime.clip import sample_clip
from cgt.runtime.engines import cores
from cgt.runtime.preprocess import U8, resize
from cgt.runtime.progress import progress_bar
from cgt.runtime.sinks import Result, StreamFormat, open_sink
from cgt.runtime.sources import Frame, open_source
from cgt.runtime.translator import BUNDLED_MODEL, Translator

from .command import results_option, run_command
from .devices import DEVICES
from .limits import project
from .machine import conditions, describe_machine
from .scale_model import Costs, Machine, cost_table, machine_table, transport_table
from .sections import write_section

SOURCE = (1080, 1920)
RATE = Fraction(30)
GPUS = ("l4", "h100")
SERVER_CORES = 16


def _seconds(work: Callable[[], int]) -> float:
    """CPU seconds per frame of work that returns how many it did."""
    began = time.process_time()
    done = work()
    return (time.process_time() - began) / done


def _frames(video: Path, count: int) -> list[U8]:
    """The first frames as RGB, enlarged to 1080p where they are smaller; round and round."""
    with open_source(str(video), audio=False) as source:
        some = list(itertools.islice((i.image for i in source if isinstance(i, Frame)), count))
    enlarged = [resize(image, SOURCE, "bicubic") for image in some]
    return list(itertools.islice(itertools.cycle(enlarged), count))


def _encode(images: list[U8], path: Path) -> int:
    """As `cgt translate` does it by default. Returns how many."""
    height, width, _ = images[0].shape
    with open_sink(str(path), StreamFormat((height, width), RATE, 1 / RATE)) as sink:
        for index, image in enumerate(images):
            sink.write(Result(Frame(image, index / RATE), image))
        sink.finish()
    return len(images)


def _decode(video: Path) -> int:
    """To RGB."""
    with open_source(str(video), audio=False) as source:
        return sum(item.image is not None for item in source if isinstance(item, Frame))


def measure(video: Path, model: Path, count: int) -> tuple[Costs, Costs]:
    """Per frame of 1080p: for the model's usual size, and for the picture's own."""
    images = _frames(video, count)
    with (
        tempfile.TemporaryDirectory(prefix="cgt-scale-") as folder,
        progress_bar("measuring", 6, unit="stage") as bar,
    ):

        def stage(work: Callable[[], int]) -> float:
            seconds = _seconds(work)
            bar.advance()
            return seconds

        full, small = Path(folder) / "full.mp4", Path(folder) / "small.mp4"
        encode = stage(lambda: _encode(images, full))
        decode = stage(lambda: _decode(full))
        bytes_in = full.stat().st_size / count
        with Translator(model, frame=SOURCE, goal="latency") as translator:
            usual = translator.geometry.picture if translator.geometry else SOURCE
            pixels = stage(lambda: _resized(images, usual))
            network = stage(lambda: _translated(translator, images)) - pixels
        written = [resize(image, usual) for image in images]
        encode_small = stage(lambda: _encode(written, small))
        few = images[: max(2, count // 10)]  # twenty times the pixels
        with Translator(model, size="source", frame=SOURCE, goal="latency") as translator:
            network_full = stage(lambda: _translated(translator, few))
        bytes_out = small.stat().st_size / count
        return (
            Costs(usual, decode, pixels, network, encode_small, bytes_in, bytes_out),
            Costs(SOURCE, decode, 0.0, network_full, encode, bytes_in, bytes_in),
        )


def _translated(translator: Translator, images: list[U8]) -> int:
    return sum(translator.timed([image])[1].count for image in images)


def _resized(images: list[U8], size: tuple[int, int]) -> int:
    out = np.empty((*size, 3), np.uint8)
    for image in images:
        resize(image, size, out=out)
    return len(images)


def machines(model: Path, costs: Costs) -> list[Machine]:
    """This one, and what is projected from it and from datasheets."""
    found = [
        Machine(f"{cores()} cores, this machine", cores()),
        Machine(f"{SERVER_CORES} such cores (projection)", SERVER_CORES),
    ]
    for name in GPUS:
        rows = {row["precision"]: row for row in project(model, costs.size, 8, DEVICES[name])}
        bound = 8 / rows["fp16"]["seconds"]
        label = f"{SERVER_CORES} cores and one {DEVICES[name].name} (projection, at best)"
        found.append(Machine(label, SERVER_CORES, bound))
    return found


@click.command()
@click.argument("video", required=False, type=click.Path(path_type=Path))
@click.option("--model", type=click.Path(path_type=Path), default=BUNDLED_MODEL)
@click.option("--frames", default=120, show_default=True, help="Of 1080p; held in memory.")
@results_option
def main(video: Path | None, model: Path, frames: int, results: Path | None) -> None:
    """The tables of docs/scale.md."""
    before: dict[str, Any] = conditions()
    usual, own = measure(video or sample_clip(), model, frames)
    lines = [*cost_table([usual, own]), ""]
    for costs in (usual, own):
        lines += [*machine_table(machines(model, costs), costs, int(RATE)), ""]
    lines += transport_table([usual, own], int(RATE))
    print("\n".join(lines))
    if results is not None:
        machine = describe_machine()
        write_section(results, "scale", lines, machine, before, conditions(), "Measured")


if __name__ == "__main__":
    run_command(main)
