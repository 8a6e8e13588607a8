"""Quality against speed of teachers and students, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cgt.runtime.errors import MissingDependency
from cgt.runtime.files import atomic_write

from .student_figures import ComparisonRow

MARKERS = "os^Dvp"  # a mark for each engine, a colour for each network; hollow is not quantised


def plot_quality_speed(rows: Sequence[ComparisonRow], output: Path) -> None:
    """Frames per second of one after the other against explained change of videos, else of photos.
    Raises MissingDependency without matplotlib."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D
        from matplotlib.ticker import LogLocator
    except ImportError:
        raise MissingDependency(
            "matplotlib is not installed; install the extra: pip install 'cyclegan-toolkit[plot]'"
        ) from None
    networks = list(dict.fromkeys(row.network for row in rows))
    engines = list(dict.fromkeys(row.engine for row in rows))
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    panel = figure.subplots()
    for row in rows:
        color = f"C{networks.index(row.network)}"
        panel.plot(
            1e3 / row.p50_ms,
            _mse_skill(row),
            MARKERS[engines.index(row.engine) % len(MARKERS)],
            color=color,
            markerfacecolor=color if row.precision.startswith("int8") else "none",
        )
    videos = all(row.mse_skill_videos is not None for row in rows)
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_formatter("")
    panel.set_xlabel("frames/s, 1000 / p50 of the network alone")
    panel.set_ylabel(f"explained change, {'videos' if videos else 'held-out photos'}")
    panel.grid(alpha=0.3)
    kinds = dict.fromkeys((row.engine, row.precision) for row in rows)
    keys = [
        Line2D([], [], color=f"C{i}", marker=".", linestyle="", label=network)
        for i, network in enumerate(networks)
    ]
    keys += [
        Line2D(
            *([], []),
            color="gray",
            marker=MARKERS[engines.index(engine) % len(MARKERS)],
            markerfacecolor="gray" if precision.startswith("int8") else "none",
            linestyle="",
            label=f"{precision}, {engine}",
        )
        for engine, precision in kinds
    ]
    figure.legend(handles=keys, loc="outside right upper", fontsize="x-small")
    with atomic_write(output) as temporary:
        figure.savefig(temporary, format=output.suffix.lstrip(".") or "png", dpi=150)


def _mse_skill(row: ComparisonRow) -> float:
    return row.mse_skill_photos if row.mse_skill_videos is None else row.mse_skill_videos
