"""The verb `cgt plot`."""

from __future__ import annotations

from pathlib import Path

import click

from ._options import PATH, Verb, check_output_paths, opt, require_extra


@click.command("plot", cls=Verb)
@click.argument("runs", nargs=-1, required=True, type=PATH)
@opt(
    "-o",
    "--output",
    type=PATH,
    group="Options",
    help="PNG, SVG or PDF to write.  [default: metrics.png in the first run]",
)
def command(runs: tuple[Path, ...], output: Path | None) -> None:
    """Plot the losses and metrics of RUNS in one image; a run may still be training."""
    require_extra("plot", "matplotlib")
    from cgt.trainer.logs.plot import plot_runs

    out = output or (runs[0] / "metrics.png" if runs[0].is_dir() else Path("metrics.png"))
    files = (run / "metrics.csv" if run.is_dir() else run for run in runs)
    check_output_paths(out, inputs=files)
    plot_runs(runs, out)
    click.echo(f"{out}: {len(runs)} {'run' if len(runs) == 1 else 'runs'}")
