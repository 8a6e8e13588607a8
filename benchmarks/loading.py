"""Images per second of `cgt train`'s loader against one made of Pillow, in one run.

    python -m cgt.benchmarks.loading FOLDER [--load-size 286] [--crop-size 256] [--rounds 3]

FOLDER has trainA/ and trainB/. The peer does what the reference's data set does: Pillow opens,
converts to RGB and resizes (bicubic), NumPy crops, mirrors and scales to [-1, 1]. Both have one
worker and give float32 NCHW tensors, batch 1, an image of each domain at a time. The first epoch
decodes every file; later ones find what fits in memory.
"""

from __future__ import annotations

import dataclasses
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from cgt.trainer.dataset import open_dataset
from cgt.trainer.domain import Domain, find_domains
from cgt.trainer.trainconfig import TrainConfig

from .command import run_command

Pair = tuple[torch.Tensor, torch.Tensor]


def by_pillow(
    domains: tuple[Domain, Domain], load_size: int, crop_size: int, count: int
) -> Iterator[Pair]:
    """The hand-written loader, reading ahead in one thread."""
    from PIL import Image

    random = np.random.default_rng(0)

    def view(path: Path) -> torch.Tensor:
        with Image.open(path) as file:
            side = (load_size, load_size)
            image = np.asarray(file.convert("RGB").resize(side, Image.Resampling.BICUBIC))
        y, x = random.integers(0, load_size - crop_size, size=2, endpoint=True)
        crop = image[y : y + crop_size, x : x + crop_size]
        if random.random() < 0.5:
            crop = crop[:, ::-1]
        scaled = (crop.astype(np.float32) / 255 - 0.5) / 0.5
        return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))[None]

    def batch(step: int) -> Pair:
        a, b = (view(domain.files[step % len(domain.files)]) for domain in domains)
        return a, b

    with ThreadPoolExecutor(1) as reader:
        yield from reader.map(batch, range(count))


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--load-size", default=286, show_default=True)
@click.option("--crop-size", default=256, show_default=True)
@click.option("--steps", default=200, show_default=True, help="Pairs of images per round.")
@click.option("--rounds", default=3, show_default=True)
def main(folder: Path, load_size: int, crop_size: int, steps: int, rounds: int) -> None:
    """Rounds are interleaved; rates are medians, by CPU time and by the clock."""
    config = TrainConfig(str(folder), load_size=load_size, crop_size=crop_size)
    domains = find_domains(folder, "train", False, (3, 3))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cached = open_dataset(config, paired=False).train
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    plain = open_dataset(dataclasses.replace(config, cache_mb=0), paired=False).train
    peers: dict[str, Callable[[], Iterator[Pair]]] = {
        "Pillow + NumPy": lambda: by_pillow(domains, load_size, crop_size, steps),
        "cgt, decoding each time": lambda: plain.batches(0, steps),
        "cgt, decoded in memory": lambda: cached.batches(0, steps),
    }
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name, batches in peers.items():
            wall, cpu = time.perf_counter(), time.process_time()
            for a, b in batches():
                assert a.shape == b.shape == (1, 3, crop_size, crop_size)
            spent = time.process_time() - cpu, time.perf_counter() - wall
            rates[name].append((2 * steps / spent[0], 2 * steps / spent[1]))
    hand = rates["Pillow + NumPy"]
    title = f"{folder.name}, {load_size} to {crop_size}, one worker, {os.cpu_count()} cores"
    table = Table("", "images/CPU s", "ratio", "images/s", "ratio", title=title)
    for name, found in rates.items():
        cells = []
        for clock in (0, 1):
            median = statistics.median(each[clock] for each in found)
            ours = [each[clock] / base[clock] for each, base in zip(found, hand, strict=True)]
            cells += [f"{median:.0f}", f"{statistics.median(ours):.2f}"]
        table.add_row(name, *cells)
    Console().print(table)
    click.echo(f"memory: the decoded images took {grown / 1024:.0f} MB")


if __name__ == "__main__":
    run_command(main)
