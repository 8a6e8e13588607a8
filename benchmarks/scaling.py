"""How time and memory grow: python -m cgt.benchmarks.scaling [--html FILE] [--json FILE]

Against pixels (the network alone), frames (a whole translation), images per run and threads. A
power law is fitted to each, y = factor * x ** exponent: 1 is linear, 0 constant.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from cgt.runtime.engines import cores, read_model
from cgt.runtime.files import whole_file
from cgt.runtime.progress import progress_bar
from cgt.runtime.translator import BUNDLED_MODEL

from .command import results_option, run_command
from .long_video import long_video, translate_frames
from .machine import conditions, describe_machine, one_line
from .measure import tensor_size
from .page import figure, page, section
from .plots import growth
from .results import Session
from .sections import write_section
from .session import Job
from .worker import PROGRAM, run_session

SIDES = (128, 192, 256, 384, 512, 768, 1024)
FRAMES = (100, 300, 1000, 3000, 10000)
BATCHES = (1, 2, 4, 8)


@dataclass(frozen=True)
class Law:
    """y = factor * x ** exponent through measured points. error: standard error of the exponent,
    None where two points leave none."""

    x: str
    y: str
    points: list[tuple[float, float]]
    factor: float
    exponent: float
    error: float | None

    @property
    def power(self) -> str:
        """The exponent as one reads it."""
        return f"{self.exponent:.2f}" + ("" if self.error is None else f" ± {self.error:.2f}")


def fit(x: str, y: str, points: Sequence[tuple[float, float]]) -> Law:
    """By least squares of the logarithms; at least two points."""
    xs, ys = (np.log([point[i] for point in points]) for i in (0, 1))
    exponent, constant = np.polyfit(xs, ys, 1)
    rest = ys - (exponent * xs + constant)
    error = None
    if len(points) > 2:
        variance = (rest**2).sum() / (len(points) - 2)
        error = float(np.sqrt(variance / ((xs - xs.mean()) ** 2).sum()))
    return Law(x, y, list(points), float(np.exp(constant)), float(exponent), error)


def _median(session: Session) -> float:
    return float(np.median(np.concatenate([r.ms for r in session.rounds])))


def measured(
    jobs: Sequence[tuple[float, Job, Sequence[str]]], rounds: int, tick: Callable[[], None]
) -> list[tuple[float, float, float]]:
    """(x, milliseconds, bytes) of each job, medians of rounds in which all take turns."""
    found: dict[float, list[Session]] = {}
    for _ in range(rounds):
        for x, job, program in jobs:
            found.setdefault(x, []).append(run_session(job, program)[1])
            tick()
    return [
        (x, float(np.median([_median(s) for s in all_])), float(np.median([s.rss for s in all_])))
        for x, all_ in found.items()
    ]


def pinned(count: int) -> tuple[str, ...]:
    """The worker on the first `count` cores."""
    return ("taskset", "--cpu-list", f"0-{count - 1}", *PROGRAM)


@click.command()
@click.option("--model", type=click.Path(path_type=Path), default=BUNDLED_MODEL)
@click.option("--engine", default="openvino", show_default=True)
@click.option("--seconds", default=2.0, show_default=True, help="Of each point in each round.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--longest", default=FRAMES[-1], show_default=True, help="Frames.")
@click.option("--largest", default=SIDES[-1], show_default=True, help="Side, in pixels.")
@click.option("--json", "json_path", type=click.Path(path_type=Path))
@click.option("--html", "html_path", type=click.Path(path_type=Path))
@results_option
def main(
    model: Path,
    engine: str,
    seconds: float,
    rounds: int,
    longest: int,
    largest: int,
    json_path: Path | None,
    html_path: Path | None,
    results: Path | None,
) -> None:
    """Exponents, and plots of what they were fitted to."""
    before = conditions()
    sides = [side for side in SIDES if side <= largest]
    lengths = [frames for frames in FRAMES if frames <= longest]
    size = tensor_size(read_model(model), None)

    def job(height: int, width: int, batch: int = 1) -> Job:
        return Job(model, (height, width), engine, batch=batch, streams=None, seconds=seconds)

    pixels = [(float(side**2), job(side, side), PROGRAM) for side in sides]
    batches = [(float(n), job(*size, n), PROGRAM) for n in BATCHES]
    threads = [(float(n), job(*size), pinned(n)) for n in _powers_of_two(cores())]
    total = rounds * (len(pixels) + len(batches) + len(threads)) + len(lengths)
    with progress_bar("measuring", total, unit="point") as bar:
        found = [measured(jobs, rounds, bar.advance) for jobs in (pixels, batches, threads)]
        frames = []
        with long_video(max(lengths)) as video:
            for count in lengths:
                frames.append((float(count), *translate_frames(video, model, engine, count)))
                bar.advance()
    laws = [
        *_laws("pixels", found[0], "ms"),
        *_laws("frames", frames, "s"),
        *_laws("images per run", found[1], "ms"),
        *(_laws("threads", found[2], "ms") if len(found[2]) > 1 else []),
    ]
    _print(laws)
    facts = describe_machine()
    if json_path:
        with whole_file(json_path) as temporary:
            document = {"machine": facts, "laws": [asdict(law) for law in laws]}
            temporary.write_text(json.dumps(document, indent=1), encoding="utf-8")
    if html_path:
        with whole_file(html_path) as temporary:
            temporary.write_text(render(laws, model, facts), encoding="utf-8")
    if results:
        lines = [f"{model.name} on {engine}; frames: a video of {size[0]} lines to `null:`.", ""]
        lines += _markdown(laws)
        write_section(results, "scaling", lines, facts, before, conditions())


def _powers_of_two(most: int) -> list[int]:
    return sorted({most, *(1 << k for k in range(most.bit_length()) if 1 << k <= most)})


def _laws(x: str, points: Sequence[tuple[float, float, float]], unit: str) -> list[Law]:
    return [
        fit(x, f"time, {unit}", [(a, b) for a, b, _ in points]),
        fit(x, "memory, MiB", [(a, c / 2**20) for a, _, c in points]),
    ]


def _markdown(laws: Sequence[Law]) -> list[str]:
    lines = ["| | against | exponent | from | to |", "|---|---|---|---|---|"]
    for law in laws:
        ends = " | ".join(f"{y:.4g} at {x:g}" for x, y in (law.points[0], law.points[-1]))
        lines.append(f"| {law.y} | {law.x} | {law.power} | {ends} |")
    return lines


def _print(laws: Sequence[Law]) -> None:
    table = Table("", "against", "exponent", "points")
    for law in laws:
        points = ", ".join(f"{x:g}: {y:.4g}" for x, y in law.points)
        table.add_row(law.y, law.x, f"{law.power}", points)
    Console().print(table)


def render(laws: Sequence[Law], model: Path, machine: dict[str, Any]) -> str:
    """One HTML page with a plot for each law."""
    plots = "".join(
        figure(
            f"{law.y} against {law.x}: exponent {law.power}",
            growth(law.points, (law.factor, law.exponent), law.x, law.y),
        )
        for law in laws
    )
    inner = section("Growth", f'<div class="plots">{plots}</div>', (__doc__ or "").split("\n\n")[1])
    return page(f"cgt scaling: {model.name}", one_line(machine), [inner])


if __name__ == "__main__":
    run_command(main)
