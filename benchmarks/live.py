"""From capture to output where the source is faster than the engine.

    python -m cgt.benchmarks.live [--seconds 60] [--fps 30] [--engine-fps 10] [--json FILE]

A real-time test picture with its number drawn in it goes through the whole live pipeline into an
engine that is simulated: it takes the time it is told to. Fails unless 99 % of the frames arrive
within 1.5 engine times plus one frame, the last third is as quick as the first, and the numbers
read from the output only ever increase.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from pathlib import Path

import click
import numpy as np

from cgt.runtime.pipeline import run
from cgt.runtime.sinks import StreamFormat, open_sink
from cgt.runtime.sources import open_source
from cgt.runtime.sources.pattern import read_counter
from cgt.runtime.stats import Stats
from cgt.runtime.translator import Translator
from cgt.runtime.wanted import limited

from .command import run_command
from .simulated import Identity


@click.command()
@click.option("--seconds", default=60.0, show_default=True)
@click.option("--fps", default=30, show_default=True)
@click.option("--engine-fps", default=10.0, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path))
def main(seconds: float, fps: int, engine_fps: float, json_path: Path | None) -> None:
    """Exit code 1 where a bound does not hold."""
    stats, numbers, latencies = Stats(), [], []
    with (
        open_source(f"test://?size=1280x720&fps={fps}") as source,
        Translator(
            engine=Identity(1 / engine_fps), size=(256, 456), frame=source.size
        ) as translator,
        open_sink("null:", StreamFormat.of(source, translator.geometry)) as sink,
    ):
        items = limited(source, round(seconds * fps))
        for result in run(items, translator, sink, stats, threading.Event(), live=True):
            latencies.append(time.perf_counter() - result.frame.captured)
            numbers.append(read_counter(result.image))
    third = len(latencies) // 3
    p50, p99 = (float(np.percentile(latencies, q)) for q in (50, 99))
    first, last = (float(np.median(part)) for part in (latencies[:third], latencies[-third:]))
    bound = 1.5 / engine_fps + 1 / fps
    facts = {
        "frames": len(latencies),
        "dropped": stats.dropped,
        "frames_per_second": round(stats.fps, 2),
        "latency_ms": {"p50": p50 * 1e3, "p99": p99 * 1e3, "max": max(latencies) * 1e3},
        "bound_ms": bound * 1e3,
        "median_ms_of_first_and_last_third": [first * 1e3, last * 1e3],
        "unread": numbers.count(None),
    }
    click.echo(json.dumps(facts, indent=1))
    if json_path:
        json_path.write_text(json.dumps(facts, indent=1))
    read = [number for number in numbers if number is not None]
    failed = [
        text
        for text, wrong in (
            ("p99 above the bound", p99 > bound),
            ("latency grows", last > first + 0.5 / fps),
            ("numbers do not increase", any(b <= a for a, b in itertools.pairwise(read))),
            ("numbers cannot be read", len(read) < 0.99 * len(numbers)),
        )
        if wrong
    ]
    if failed:
        sys.exit(", ".join(failed))


if __name__ == "__main__":
    run_command(main)
