"""Plots of a benchmark report, drawn by matplotlib and embedded in the page as SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..harness.results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_BINS = 48
MAX_DOTS = 900  # per timeline; each dot is the slowest of the runs that it represents
MAX_PLOTTED_PSNR_DB = 80.0  # higher values look the same
# Readable on the page's light and dark backgrounds.
SERIES = ("#4f80c8", "#86abdb", "#4a9e7a", "#d2813f", "#9a74c4", "#c4586f")
_INK = "#010203"  # replaced by the page's own text color


def to_svg(figure: Figure, title: str) -> str:
    """Return the figure as an inline `<svg>` element that refers to nothing outside itself."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    label = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    text = text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    return text.replace(_INK, "currentColor")


def _axes(x_label: str, y_label: str = "", height: float = 2.5) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, height), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x_label, color=_INK, fontsize=9)
    axes.set_ylabel(y_label, color=_INK, fontsize=9)
    axes.tick_params(colors=_INK, labelsize=8)
    axes.tick_params(axis="y", which="both", length=0)
    axes.grid(color=_INK, alpha=0.15, linewidth=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_INK)
    return figure, axes


def color(index: int) -> str:
    """Return the color of the index-th series."""
    return SERIES[index % len(SERIES)]


def _visible_range(result: Result) -> tuple[float, float]:
    """Return the range of milliseconds that a plot shows, without the slowest half percent."""
    samples = result.samples
    low, high = float(samples.min()), float(np.percentile(samples, 99.5))
    margin = max(high - low, 0.02 * high) * 0.06
    return max(low - margin, 0.0), high + margin


def plot_latency_histogram(result: Result, index: int = 0) -> Figure:
    """Plot how often each latency occurred."""
    from matplotlib.ticker import MaxNLocator

    low, high = _visible_range(result)
    samples = result.samples
    bins = int(np.clip(2 * np.sqrt(len(samples)), 8, MAX_BINS))
    slower = int((samples > high).sum())
    label = "milliseconds" + (f" ({slower} slower than shown)" if slower else "")
    figure, axes = _axes(label, "runs")
    axes.hist(samples, bins=bins, range=(low, high), color=color(index), alpha=0.85)
    axes.set_xlim(low, high)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    for q in (50, 99):
        latency_ms = result.percentile(q)
        if latency_ms < high:
            axes.axvline(latency_ms, color=_INK, linewidth=0.8, linestyle=":")
            top = axes.get_ylim()[1]
            axes.text(latency_ms, top, f"p{q}", color=_INK, fontsize=8, va="bottom", ha="center")
    return figure


def plot_latency_timeline(result: Result) -> Figure:
    """Plot the latency of consecutive runs, with a shade per process."""
    from matplotlib.ticker import MaxNLocator

    low, high = _visible_range(result)
    figure, axes = _axes("run; a shade per process", "ms")
    stride = max(1, len(result.samples) // MAX_DOTS)
    start = 0
    for index, session in enumerate(result.sessions):
        samples = np.concatenate([r.ms for r in session.rounds])
        starts = range(0, len(samples), stride)
        slowest = [min(float(samples[i : i + stride].max()), high) for i in starts]
        axes.plot(
            [start + i for i in starts],
            slowest,
            ".",
            color=color(index % 2),
            markersize=4,
            clip_on=False,
        )
        start += len(samples)
    axes.set_ylim(low, high)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return figure


def plot_stages(stages: dict[str, dict[str, float]]) -> Figure:
    """Plot the pipeline's stages: p50 as a thick bar and p99 as a thin one, in milliseconds."""
    shown = {name: stage for name, stage in stages.items() if stage["count"]}
    figure, axes = _axes(
        "milliseconds per frame: p50 thick, p99 thin", height=1.0 + 0.32 * max(len(shown), 1)
    )
    for row, (name, stage) in enumerate(shown.items()):
        series = color(3 if name == "latency" else 0)
        axes.barh(row, stage["p99"], 0.12, color=series, alpha=0.85)
        axes.barh(row, stage["p50"], 0.56, color=series, alpha=0.85)
        axes.annotate(
            f"{stage['p50']:.3g} / {stage['p99']:.3g}",
            (stage["p99"], row),
            xytext=(5, 0),
            textcoords="offset points",
            color=_INK,
            fontsize=8,
            va="center",
        )
    axes.set_yticks(range(len(shown)), list(shown))
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, max((stage["p99"] for stage in shown.values()), default=1.0) * 1.25)
    return figure


def plot_roofline(results: Sequence[Result]) -> Figure:
    """Plot multiply-adds per second over multiply-adds per byte, with the measured roofs."""
    shown = [r for r in results if r.limit]
    roofs = {r.limit["precision"]: r.limit for r in shown if r.limit}
    intensities = [r.limit["intensity"] for r in shown if r.limit]
    corners = [limit["macs_per_second"] / limit["bytes_per_second"] for limit in roofs.values()]
    low, high = min(intensities + corners) / 5, max(intensities + corners) * 5
    figure, axes = _axes("multiply-adds per byte", "G multiply-adds/s")
    axes.set_xscale("log")
    axes.set_yscale("log")
    for precision, limit in roofs.items():
        top, slope = limit["macs_per_second"] / 1e9, limit["bytes_per_second"] / 1e9
        corner = max(top / slope, low)
        x = [low, corner, high]
        axes.plot(x, [min(v * slope, top) for v in x], color=_INK, alpha=0.6, linewidth=1.2)
        name = f"{precision} peak {top:.3g} G/s"
        axes.text(high, top, name, color=_INK, fontsize=8, ha="right", va="bottom")
    for index, result in enumerate(shown):
        assert result.limit
        size = max(8 - index, 4)  # results at the same place stay visible
        axes.plot(
            result.limit["intensity"], _giga_macs(result), "o", color=color(index), markersize=size
        )
    axes.margins(y=0.15)
    return figure


def _giga_macs(result: Result) -> float:
    """Return G multiply-adds per second at the median latency."""
    assert result.limit
    return float(result.limit["macs"]) / result.percentile(50) / 1e6


def plot_quality_vs_speed(rows: Sequence[dict[str, Any]], floor: float | None) -> Figure:
    """Plot the matrix: PSNR against fp32 over frames per second; the best rows have larger dots."""
    shown = [row for row in rows if row["status"] == "ok" and row["psnr_db"] is not None]
    figure, axes = _axes("frames/s", f"PSNR, dB (max. {MAX_PLOTTED_PSNR_DB:g})")
    plotted_db = [min(row["psnr_db"], MAX_PLOTTED_PSNR_DB) for row in shown]
    if floor is not None:
        axes.axhline(floor, color=_INK, linewidth=0.8, linestyle=":")
        axes.annotate(
            f"--min-psnr {floor:g}",
            (0, floor),
            xytext=(4, 2),
            textcoords="offset points",
            color=_INK,
            fontsize=8,
        )
    for index, (row, psnr_db) in enumerate(zip(shown, plotted_db, strict=True)):
        size = 9 if row["best"] else 6
        axes.plot(row["fps"], psnr_db, "o", color=color(index), markersize=size)
    axes.set_xlim(0, max(row["fps"] for row in shown) * 1.25)
    axes.set_ylim(0, max([*plotted_db, floor or 0]) + 8)
    return figure
