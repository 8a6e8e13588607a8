"""cgt bench"""

from __future__ import annotations

from pathlib import Path

import click

from cgt.runtime.errors import UsageError
from cgt.runtime.geometry import parse_size


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
    title = f"{path.name} at {tensor[0]}x{tensor[1]}, batch 1, {seconds:g} s each"
    table = Table(title=title, title_justify="left")
    columns = "p50 ms", "p90", "p99", "max", "runs", "variation", "frames/s", "cold start s"
    for column in ("engine", "precision", *columns):
        table.add_column(column, justify="left" if column in ("engine", "precision") else "right")
    for engine in engines:
        result = measure(path, tensor, engine, seconds)
        percentiles = (f"{result.percentile(q):.2f}" for q in (50, 90, 99, 100))
        table.add_row(
            result.engine,
            result.precision,
            *percentiles,
            str(len(result.samples)),
            f"{result.variation:.0%}",
            f"{result.frames_per_second:.1f} ({result.workers} at once)",
            f"{result.cold_start:.2f}",
        )
    Console().print(table)
