"""Soak test of a long stream: growth of memory, threads and open files.

    python -m benchmarks.suites.soak [VIDEO] [--minutes 30] [--sink null:] [--live] [--json FILE]

The bundled model translates the video repeatedly as one stream. Memory, threads and open files are
sampled twice per second; the first tenth is warm-up. The command fails if the mean resident memory
of any further tenth deviates by more than 5 % from the overall mean, or if the second half has more
threads or open files than the first.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import click

from cgt.runtime.inference.translator import DEFAULT_MODEL, Translator
from cgt.runtime.models.sample_clip import sample_clip
from cgt.runtime.pipeline import run_pipeline
from cgt.runtime.sinks import StreamFormat, open_sink
from cgt.runtime.sources import Frame, Packet, open_source
from cgt.runtime.sources.wrappers import RealtimeSource, StreamItems
from cgt.runtime.utils.malloc import limit_malloc_arenas
from cgt.runtime.utils.stats import Stats

from ._cli import run_command


def loop_video(video: Path, end: float, live: bool) -> Iterator[Frame | Packet]:
    """Yield the frames of a video repeatedly until `end`, with continuous timestamps."""
    offset, last, step = Fraction(0), Fraction(0), Fraction(1, 25)
    while True:
        with open_source(str(video), audio=False) as source:
            for item in RealtimeSource(source) if live else source:
                if time.monotonic() > end:
                    return
                if isinstance(item, Frame):
                    item.time += offset
                    step, last = item.time - last or step, item.time
                    yield item
        offset = last + step
        # In PyAV, a frame whose side data were read is part of a reference cycle that holds its
        # decoder. Each opening leaves one; a real stream is opened once.
        gc.collect()


def read_usage() -> tuple[int, int, int]:
    """Return resident bytes, threads and open files of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    files = sum(1 for _ in Path("/proc/self/fd").iterdir())
    return pages * os.sysconf("SC_PAGE_SIZE"), threading.active_count(), files


@click.command()
@click.argument(
    "video", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False
)
@click.option("--minutes", default=30.0, show_default=True)
@click.option("--model", type=click.Path(path_type=Path), default=DEFAULT_MODEL)
@click.option("--size", default=256, show_default=True)
@click.option("--sink", default="null:", show_default=True)
@click.option(
    "--live", is_flag=True, help="Play at the video's own frame rate and drop late frames."
)
@click.option("--deflicker", default=0.0, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path))
def main(
    video: Path | None,
    minutes: float,
    model: Path,
    size: int,
    sink: str,
    live: bool,
    deflicker: float,
    json_path: Path | None,
) -> None:
    """Translate until the time is over; the exit code is 1 if a bound does not hold."""
    limit_malloc_arenas()  # as cgt translate does
    video = video or sample_clip()
    end, stats = time.monotonic() + 60 * minutes, Stats()
    samples: list[tuple[int, int, int]] = []
    with (
        open_source(str(video), audio=False) as source,
        Translator(
            model,
            size=(size, size),
            frame_size=source.size,
            performance_hint="latency" if live else "throughput",
            deflicker=deflicker,
        ) as translator,
        open_sink(sink, StreamFormat.from_source(source, translator.geometry)) as target,
    ):
        items: StreamItems = loop_video(video, end, live)
        due = time.monotonic()
        for _ in run_pipeline(items, translator, target, stats, threading.Event(), live):
            if time.monotonic() > due:
                samples.append(read_usage())
                due = time.monotonic() + 0.5
    steady = samples[len(samples) // 10 :]
    tenth = max(1, len(steady) // 9)
    memory = [
        statistics.mean(sample[0] for sample in steady[i : i + tenth])
        for i in range(0, len(steady) - tenth + 1, tenth)
    ]
    mean_memory = statistics.mean(memory)
    halves = steady[: len(steady) // 2], steady[len(steady) // 2 :]
    threads = [max(sample[1] for sample in half) for half in halves]
    files = [max(sample[2] for sample in half) for half in halves]
    results = {
        "frames": stats.frames,
        "dropped": stats.dropped,
        "minutes": round(stats.seconds / 60, 2),
        "memory_mib": [round(value / 2**20, 1) for value in memory],
        "threads": threads,
        "files": files,
    }
    click.echo(json.dumps(results, indent=1))
    if json_path:
        json_path.write_text(json.dumps(results | {"samples": samples}, indent=1))
    failed = [
        text
        for text, violated in (
            (
                "memory is not within 5 %",
                max(memory) > 1.05 * mean_memory or min(memory) < 0.95 * mean_memory,
            ),
            ("more threads", threads[1] > threads[0]),
            ("more open files", files[1] > files[0]),
        )
        if violated
    ]
    if failed:
        sys.exit(", ".join(failed))


if __name__ == "__main__":
    run_command(main)
