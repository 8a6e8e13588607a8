"""Plots of the losses and metrics of training runs, from their metrics.csv."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from cgt.runtime.errors import DataError, MissingDependency
from cgt.runtime.utils.atomic import atomic_write

from .metrics_csv import MetricsRow, read_metrics

PANEL_COLUMNS = 3
SMOOTHING_WINDOW = 20  # rows per running mean; the losses of a GAN are noisy
_X_AXIS_COLUMNS = ("step", "epoch")


def read_runs(folders: Sequence[Path]) -> dict[str, list[MetricsRow]]:
    """Read the metrics of runs, by the name of the run.

    Args:
        folders: Run folders or metrics.csv files.

    Raises:
        DataError: If a folder has no metrics.csv or the file has no row.
    """
    runs = {}
    for folder in folders:
        path = folder / "metrics.csv" if folder.is_dir() else folder
        if not path.is_file():
            raise DataError(f"{path} is missing; pass the folder of a run of `cgt train`")
        if not (rows := read_metrics(path)):
            raise DataError(f"{path} has no row yet; wait for the first, after 50 steps")
        name = path.parent.name if path.parent.name not in runs else str(path.parent)
        runs[name] = rows
    return runs


def plot_runs(
    folders: Sequence[Path], output: Path, x_axis: Literal["epoch", "step"] = "epoch"
) -> None:
    """Plot the losses and metrics of runs, with a panel for each and a line for each run.

    Noisy values are pale, with a running mean on top.

    Args:
        folders: Run folders or metrics.csv files.
        output: Image file to write; its suffix selects the format (PNG by default).
        x_axis: Unit of the x axis.

    Raises:
        DataError: If metrics are missing or the file cannot be written.
        MissingDependency: If matplotlib is not installed.
    """
    runs = read_runs(folders)
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependency(
            "matplotlib is not installed; install the extra: pip install 'cyclegan-toolkit[plot]'"
        ) from None
    names = list(dict.fromkeys(k for rows in runs.values() for row in rows for k in row))
    names = [name for name in names if name not in _X_AXIS_COLUMNS]
    height = -(-len(names) // PANEL_COLUMNS)
    figure = Figure(figsize=(4.5 * PANEL_COLUMNS, 2.8 * height), layout="constrained")
    panels = list(figure.subplots(height, PANEL_COLUMNS, squeeze=False).flat)
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    for name, panel in zip(names, panels, strict=False):
        panel.set_title(name)
        panel.set_xlabel(x_axis)
        panel.grid(alpha=0.3)
        for index, rows in enumerate(runs.values()):
            x = [row[x_axis] for row in rows if name in row]
            y = [row[name] for row in rows if name in row]
            color, is_smoothed = f"C{index}", len(y) > SMOOTHING_WINDOW
            panel.plot(
                x,
                y,
                color=color,
                alpha=0.25 if is_smoothed else 1,
                marker="" if is_smoothed else ".",
            )
            panel.plot(x, _running_mean(y), color=color) if is_smoothed else None
    figure.legend(handles=_legend_handles(list(runs)), loc="outside lower center", ncols=4)
    suffix = output.suffix.lstrip(".") or "png"
    try:
        with atomic_write(output) as temporary:
            figure.savefig(temporary, format=suffix, dpi=110)
    except ValueError:
        raise DataError(
            f"cannot write a {output.suffix} file; use a name that ends in .png, .svg or .pdf"
        ) from None
    except OSError as error:
        raise DataError(f"cannot write {output}: {error.strerror}") from None


def _legend_handles(runs: list[str]) -> list[object]:
    from matplotlib.lines import Line2D

    # Matplotlib takes $...$ for a formula, and leaves out labels that start with an underscore.
    labels = [f" {run}".replace("$", r"\$") for run in runs]
    return [Line2D([], [], color=f"C{index}", label=label) for index, label in enumerate(labels)]


def _running_mean(values: list[float]) -> list[float]:
    """Return the means over the last SMOOTHING_WINDOW values."""
    return [
        sum(values[max(0, i + 1 - SMOOTHING_WINDOW) : i + 1]) / min(i + 1, SMOOTHING_WINDOW)
        for i in range(len(values))
    ]
