"""cgt bench"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cgt.runtime.errors import UsageError
from cgt.runtime.geometry import parse_size

if TYPE_CHECKING:
    from cgt.benchmarks.latency import Latency


@click.command("bench")
@click.option(
    "--model", type=click.Path(path_type=Path), help="ONNX model; the bundled one by default."
)
@click.option("--engine", "engines", multiple=True, default=("auto",), help="May be given again.")
@click.option("--size", help="256 or 256x512 (HEIGHTxWIDTH); the model's own by default.")
@click.option("--seconds", type=click.FloatRange(0.1), default=3.0, show_default=True)
def command(model: Path | None, engines: tuple[str, ...], size: str | None, seconds: float) -> None:
    """Latency of single frames and throughput of several, by engine."""
    from rich.console import Console
    from rich.table import Table

    from cgt.benchmarks.latency import measure
    from cgt.runtime.artifact import read_artifact
    from cgt.runtime.geometry import plan
    from cgt.runtime.translator import BUNDLED_MODEL

    path = model or BUNDLED_MODEL
    artifact = read_artifact(path)
    wanted = parse_size(size) if size else artifact.size
    if wanted == "source":
        raise UsageError("--size source needs a source; write 256 or 256x512")
    tensor = plan(wanted, artifact, wanted).tensor
    results = [measure(path, tensor, engine, seconds) for engine in engines]
    # A column per engine: a row each would not fit a terminal of 80 columns.
    title = f"{path.name} at {tensor[0]}x{tensor[1]}, batch 1, {seconds:g} s each"
    table = Table("", *(result.engine for result in results), title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, fact in _FACTS.items():
        table.add_row(name, *(fact(result) for result in results))
    Console().print(table)


_FACTS: dict[str, Callable[[Latency], str]] = {
    "precision": lambda r: r.precision,
    "latency p50, ms": lambda r: f"{r.percentile(50):.2f}",
    "p90": lambda r: f"{r.percentile(90):.2f}",
    "p99": lambda r: f"{r.percentile(99):.2f}",
    "max": lambda r: f"{r.percentile(100):.2f}",
    "runs": lambda r: str(len(r.samples)),
    "variation": lambda r: f"{r.variation:.0%}",
    "throughput, frames/s": lambda r: f"{r.frames_per_second:.1f}",
    "frames in flight": lambda r: str(r.workers),
    "cold start, s": lambda r: f"{r.cold_start:.2f}",
}
