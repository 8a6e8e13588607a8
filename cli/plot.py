"""cgt plot"""

from __future__ import annotations

from pathlib import Path

import click

from ._options import require_extra


@click.command("plot")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="PNG, SVG or PDF.")
def command(runs: tuple[Path, ...], output: Path | None) -> None:
    """Draw losses and metrics of RUNS, which may still be training, into one picture."""
    require_extra("plot", "matplotlib")
    from cgt.trainer.logs.plot import plot_runs

    out = output or (runs[0] / "metrics.png" if runs[0].is_dir() else Path("metrics.png"))
    plot_runs(runs, out)
    click.echo(f"{out}: {len(runs)} {'run' if len(runs) == 1 else 'runs'}")
