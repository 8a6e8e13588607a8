"""Do our figures agree with others' of the same thing? python -m cgt.benchmarks.agreement

Against OpenVINO's own benchmark_app and against a plain loop around onnxruntime, with the same
model, size, precision and threads, in turns; the ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from rich.console import Console

from cgt.runtime.engines import read_model
from cgt.runtime.progress import progress_bar
from cgt.runtime.translator import BUNDLED_MODEL

from .benchmark_app import run_benchmark_app
from .command import results_option, run_command
from .feed import Feed
from .machine import conditions, describe_machine
from .measure import tensor_size
from .sections import write_section
from .session import Job
from .worker import run_session

Milliseconds = Callable[[], float]


def by_cgt(job: Job) -> Milliseconds:
    """Median of one session in a fresh process."""

    def run() -> float:
        _, session = run_session(job)
        return float(np.median(np.concatenate([r.ms for r in session.rounds])))

    return run


def by_onnxruntime(job: Job) -> Milliseconds:
    """The loop that its documentation shows, with the threads that ours has."""
    import time

    import onnxruntime as ort

    from cgt.runtime.engines import cores

    options = ort.SessionOptions()
    options.intra_op_num_threads = cores()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    feed = Feed(job.model, job.size)

    def run() -> float:
        session = ort.InferenceSession(job.model, options, providers=["CPUExecutionProvider"])
        inputs = {session.get_inputs()[0].name: feed.batch}
        for _ in range(5):
            session.run(None, inputs)
        samples: list[float] = []
        end = time.perf_counter() + job.seconds
        while (started := time.perf_counter()) < end or len(samples) < 3:
            session.run(None, inputs)
            samples.append((time.perf_counter() - started) * 1e3)
        return statistics.median(samples)

    return run


def in_turns(
    ours: Milliseconds, theirs: Milliseconds, rounds: int, tick: Callable[[], None]
) -> tuple[list[float], list[float]]:
    """Milliseconds of both, round by round; who begins alternates."""
    found: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds):
        for side in (0, 1) if turn % 2 == 0 else (1, 0):
            found[side].append((ours, theirs)[side]())
        tick()
    return found


@click.command()
@click.option("--model", type=click.Path(path_type=Path), default=BUNDLED_MODEL)
@click.option("--rounds", default=7, show_default=True)
@click.option("--seconds", default=3.0, show_default=True, help="Of each side in each round.")
@results_option
def main(model: Path, rounds: int, seconds: float, results: Path | None) -> None:
    """Medians and their ratio, ours by theirs."""
    size = tensor_size(read_model(model), None)
    job = {
        name: Job(model, size, engine, precision, streams=None, seconds=seconds)
        for name, engine, precision in (
            ("fp32", "openvino", "fp32"),
            ("default", "openvino", "auto"),
            ("ort", "onnxruntime", "auto"),
        )
    }
    contests: list[tuple[str, Milliseconds, Milliseconds]] = [
        ("benchmark_app, fp32", by_cgt(job["fp32"]), lambda: run_benchmark_app(job["fp32"])),
        (
            "benchmark_app, default precision",
            by_cgt(job["default"]),
            lambda: run_benchmark_app(job["default"]),
        ),
        ("onnxruntime loop", by_cgt(job["ort"]), by_onnxruntime(job["ort"])),
    ]
    before = conditions()
    lines = [
        f"{model.name} at {size[0]}x{size[1]}, one frame after the other, {rounds} rounds of "
        f"{seconds:g} s each in turns.",
        "",
        "| against | theirs, p50 ms | `cgt bench`, p50 ms | ratio |",
        "|---|---|---|---|",
    ]
    with progress_bar("measuring", rounds * len(contests), unit="round") as bar:
        for name, ours, theirs in contests:
            mine, other = in_turns(ours, theirs, rounds, bar.advance)
            ratio = statistics.median(a / b for a, b in zip(mine, other, strict=True))
            medians = " | ".join(f"{statistics.median(side):.2f}" for side in (other, mine))
            lines.append(f"| {name} | {medians} | {ratio:.3f} |")
    Console().print("\n".join(lines), highlight=False)
    if results:
        write_section(results, "agreement", lines, describe_machine(), before, conditions())


if __name__ == "__main__":
    run_command(main)
