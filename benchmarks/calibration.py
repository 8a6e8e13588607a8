"""Does `cgt bench compare` tell the truth? python -m cgt.benchmarks.calibration [--pairs 20]

Really measures: pairs of runs of the same thing, where it must find no difference, and pairs whose
second run's engine is really slowed down (each run is followed by spinning for a tenth of its
time), where it must find one. Every run is a whole `cgt bench` of fresh processes.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from cgt.runtime.artifact import read_artifact
from cgt.runtime.engines import Engine, open_engine
from cgt.runtime.progress import progress_bar
from cgt.runtime.translator import BUNDLED_MODEL

from .command import results_option, run_command
from .compare import LATENCY, Comparison, compare_results, session_latency
from .machine import conditions, describe_machine
from .measure import SESSIONS, measure_all, tensor_size
from .results import Result
from .sections import write_section
from .session import Job
from .worker import PROGRAM, serve

SLOWDOWN = 1.10


class Slowed(Engine):
    """An engine that takes SLOWDOWN times as long, on the clock."""

    def __init__(self, inner: Engine) -> None:
        self.inner = inner
        self.name, self.device = inner.name, inner.device
        self.precision, self.workers = inner.precision, inner.workers

    def infer(self, *arrays: Any) -> None:
        started = time.perf_counter()
        self.inner.infer(*arrays)
        end = started + (time.perf_counter() - started) * SLOWDOWN
        while time.perf_counter() < end:
            pass

    def close(self) -> None:
        self.inner.close()


def open_slowed(*arguments: Any) -> Engine:
    """`open_engine`, slowed."""
    return Slowed(open_engine(*arguments))


def once(job: Job, slowed: bool = False) -> Result:
    """One run as `cgt bench` makes it, latency only."""
    program = (sys.executable, "-m", "cgt.benchmarks.calibration", "--serve") if slowed else PROGRAM
    return measure_all([job], SESSIONS, program=program)[0]


def pairs(count: int, job: Job, tick: Callable[[], None]) -> dict[str, list[Comparison]]:
    """A against A, and A against a slower A."""
    found: dict[str, list[Comparison]] = {"the same": [], f"{SLOWDOWN - 1:.0%} slower": []}
    for _ in range(count):
        for (_name, verdicts), slowed in zip(found.items(), (False, True), strict=True):
            first, second = once(job), once(job, slowed)
            verdicts.append(compare_results(first, second, LATENCY, session_latency))
            tick()
    return found


def describe(found: dict[str, list[Comparison]], job: Job) -> list[str]:
    """Lines of Markdown."""
    lines = [
        f"{job.model.name} on {job.engine} at {job.size[0]}x{job.size[1]}, {SESSIONS} processes of "
        f"{job.seconds:g} s in each run.",
        "",
        "| second run | verdicts | ratios |",
        "|---|---|---|",
    ]
    for name, verdicts in found.items():
        counts = Counter(c.verdict for c in verdicts)
        said = ", ".join(f"{verdict} {n}" for verdict, n in counts.most_common())
        ratios = sorted(c.ratio for c in verdicts)
        lines.append(f"| {name} | {said} | {ratios[0]:.3f} to {ratios[-1]:.3f} |")
    return lines


@click.command()
@click.option("--pairs", "count", default=20, show_default=True)
@click.option("--model", type=click.Path(path_type=Path), default=BUNDLED_MODEL)
@click.option("--engine", default="openvino", show_default=True)
@click.option("--seconds", default=3.0, show_default=True)
@results_option
def main(count: int, model: Path, engine: str, seconds: float, results: Path | None) -> None:
    """Twenty times each: the same thing, and a slower one."""
    size = tensor_size(read_artifact(model), None)
    job = Job(model, size, engine, streams=None, seconds=seconds / SESSIONS)
    before = conditions()
    with progress_bar("comparing", 2 * count, unit="pair") as bar:
        found = pairs(count, job, bar.advance)
    lines = describe(found, job)
    Console().print("\n".join(lines), highlight=False)
    for name, verdicts in found.items():
        for c in verdicts:
            print(f"{name}: {c.ratio:.3f} ({c.low:.3f} to {c.high:.3f}), machine {c.machine:.3f}")
    if results:
        write_section(results, "compare", lines, describe_machine(), before, conditions())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2:], open_slowed)
    else:
        run_command(main)
