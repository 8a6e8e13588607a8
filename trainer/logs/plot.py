"""Pictures of how runs went, drawn from their metrics.csv at any time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from cgt.runtime.errors import DataError, MissingDependency
from cgt.runtime.utils.atomic import atomic_write

from .metrics_csv import MetricsRow, read_metrics

PANEL_COLUMNS = 3  # of panels
SMOOTHING_WINDOW = 20  # lines that a mean goes over, so that a GAN's losses can be read
_X_AXIS_COLUMNS = ("step", "epoch")


def read_runs(folders: Sequence[Path]) -> dict[str, list[MetricsRow]]:
    """Lines by the name of the run. Raises DataError for a folder without any."""
    runs = {}
    for folder in folders:
        path = folder / "metrics.csv" if folder.is_dir() else folder
        if not path.is_file():
            raise DataError(f"{path} is missing; give the folder of a run of `cgt train`")
        if not (rows := read_metrics(path)):
            raise DataError(f"{path} has no line yet; the first comes after 50 steps")
        name = path.parent.name if path.parent.name not in runs else str(path.parent)
        runs[name] = rows
    return runs


def plot_runs(
    folders: Sequence[Path], out: Path, x_axis: Literal["epoch", "step"] = "epoch"
) -> None:
    """Write a picture (its suffix says of what kind) with a panel for each loss and metric and a
    line for each run, along epochs or steps; as measured, pale, and a running mean.

    Raises DataError as `read_runs`, and MissingDependency without matplotlib.
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
        for index, (run, rows) in enumerate(runs.items()):
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
            panel.plot(x, _running_mean(y), color=color, label=run) if is_smoothed else None
    figure.legend(handles=_legend_handles(list(runs)), loc="outside lower center", ncols=4)
    suffix = out.suffix.lstrip(".") or "png"
    try:
        with atomic_write(out) as temporary:
            figure.savefig(temporary, format=suffix, dpi=110)
    except ValueError:
        raise DataError(
            f"cannot draw a {out.suffix} file; end the name in .png, .svg or .pdf"
        ) from None
    except OSError as error:
        raise DataError(f"cannot write {out}: {error.strerror}") from None


def _legend_handles(runs: list[str]) -> list[object]:
    from matplotlib.lines import Line2D

    return [Line2D([], [], color=f"C{index}", label=run) for index, run in enumerate(runs)]


def _running_mean(values: list[float]) -> list[float]:
    """Over the last SMOOTH values."""
    return [
        sum(values[max(0, i + 1 - SMOOTHING_WINDOW) : i + 1]) / min(i + 1, SMOOTHING_WINDOW)
        for i in range(len(values))
    ]
