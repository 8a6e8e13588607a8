"""The plots of a report; each is one `svg.Plot`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .results import Result
from .svg import BOTTOM, TOP, Plot, colour, number

BINS = 48
DOTS = 900  # of a timeline; where there are more, each stands for the slowest of several


def _reach(result: Result) -> tuple[float, float]:
    """Milliseconds that a plot shows: all but the slowest half percent."""
    samples = result.samples
    low, high = float(samples.min()), float(np.percentile(samples, 99.5))
    margin = max(high - low, 0.02 * high) * 0.06
    return max(low - margin, 0.0), high + margin


def histogram(result: Result, index: int = 0) -> Plot:
    """How often each latency was met."""
    low, high = _reach(result)
    samples = result.samples
    bins = int(np.clip(2 * np.sqrt(len(samples)), 8, BINS))
    counts, edges = np.histogram(samples, bins=bins, range=(low, high))
    beyond = int((samples > high).sum())
    label = "milliseconds" + (f" ({beyond} slower than shown)" if beyond else "")
    plot = Plot(
        f"latency histogram of {result.label}",
        (low, high),
        (0, float(counts.max()) * 1.12),
        x_label=label,
        y_label="runs",
    )
    for count, left, right in zip(counts, edges, edges[1:], strict=False):
        if count:
            plot.bar(left, right, 0, count, colour(index), f"{left:.2f} to {right:.2f} ms: {count}")
    plot.rule(result.percentile(50), "p50")
    if result.percentile(99) < high:
        plot.rule(result.percentile(99), "p99")
    return plot


def timeline(result: Result) -> Plot:
    """Latency run after run; a colour per session (process)."""
    low, high = _reach(result)
    total = len(result.samples)
    plot = Plot(
        f"latency over time of {result.label}",
        (0, total),
        (low, high),
        x_label="run; a shade per process",
        y_label="ms",
    )
    stride = max(1, total // DOTS)
    at = 0
    for index, session in enumerate(result.sessions):
        samples = np.concatenate([r.ms for r in session.rounds])
        points = [
            (at + i, float(samples[i : i + stride].max())) for i in range(0, len(samples), stride)
        ]
        plot.dust([(x, min(y, high)) for x, y in points], "c0" if index % 2 == 0 else "c1")
        at += len(samples)
    return plot


def stage_bars(stages: dict[str, dict[str, float]]) -> Plot:
    """Stages of the pipeline: p50 as a bar, p99 as a thin one. Values in milliseconds."""
    names = [name for name, facts in stages.items() if facts["count"]]
    longest = max((stages[name]["p99"] for name in names), default=1.0) or 1.0
    height = TOP + BOTTOM + 30.0 * max(len(names), 1)
    plot = Plot(
        "time per stage",
        (0, longest * 1.15),
        (len(names), 0),
        x_label="milliseconds per frame: p50 thick, p99 thin",
        height=height,
        left=90,
        y_axis=False,
    )
    for row, name in enumerate(names):
        facts, kind = stages[name], "c3" if name == "latency" else "c0"
        note = f"{name}: p50 {facts['p50']:.2f} ms, p99 {facts['p99']:.2f} ms"
        plot.bar(0, facts["p99"], row + 0.44, row + 0.56, kind, note)
        plot.bar(0, facts["p50"], row + 0.22, row + 0.78, kind, note)
        plot.put_text(82, plot.y(row + 0.5) + 4, name, "name", "end")
        plot.text(facts["p99"], row + 0.5, number(facts["p50"]), 6, 4)
    return plot


def roofline(results: Sequence[Result]) -> Plot:
    """Multiply-adds per second against multiply-adds per byte: roofs measured, dots measured."""
    shown = [r for r in results if r.limit]
    roofs = {r.limit["precision"]: r.limit for r in shown if r.limit}
    slopes = [limit["bytes_per_second"] for limit in roofs.values()]
    intensities = [r.limit["intensity"] for r in shown if r.limit]
    tops = [limit["macs_per_second"] / 1e9 for limit in roofs.values()]
    reached = [_reached(r) for r in shown]
    corners = [limit["macs_per_second"] / limit["bytes_per_second"] for limit in roofs.values()]
    low, high = min(intensities + corners) / 5, max(intensities + corners) * 5
    floor = min([*reached, low * min(slopes) / 1e9]) / 2
    plot = Plot(
        "roofline",
        (low, high),
        (floor, max(tops) * 2.5),
        x_label="multiply-adds per byte",
        y_label="G multiply-adds/s",
        log=True,
    )
    for limit in roofs.values():
        top, slope = limit["macs_per_second"] / 1e9, limit["bytes_per_second"] / 1e9
        corner = top / slope
        start = (low, low * slope) if corner > low else (low, top)
        plot.curve([start, (max(corner, low), top), (high, top)], "roof")
        plot.text(
            max(corner, low) * 1.1, top, f"{limit['precision']} peak {number(top)} G/s", 0, -6
        )
    for index, result in enumerate(shown):
        assert result.limit
        share = result.limit["seconds"] * 1e3 / result.percentile(50)
        note = f"{result.label}: {_reached(result):.0f} G/s, {share:.0%} of the attainable"
        plot.dot(result.limit["intensity"], _reached(result), colour(index), 5, note)
    return plot


def _reached(result: Result) -> float:
    """G multiply-adds per second at the median."""
    assert result.limit
    return float(result.limit["macs"]) / result.percentile(50) / 1e6


def quality_speed(rows: Sequence[dict[str, Any]], floor: float | None) -> Plot:
    """The matrix: PSNR against frames per second."""
    shown = [row for row in rows if row["status"] == "ok" and row["psnr"] is not None]
    rates = [row["fps"] for row in shown]
    top = max([min(row["psnr"], 80) for row in shown] + [floor or 0]) + 8
    plot = Plot(
        "quality against speed",
        (0, max(rates) * 1.25),
        (0, top),
        x_label="frames/s",
        y_label="PSNR against fp32, dB (80 and more at 80)",
    )
    if floor is not None:
        plot.curve([(0, floor), (max(rates) * 1.25, floor)], "roof")
        plot.text(0, floor, f"--min-psnr {floor:g}", 6, -5)
    for index, row in enumerate(shown):
        note = f"{row['label']}: {row['fps']:.1f} frames/s, {row['psnr']:.1f} dB"
        plot.dot(row["fps"], min(row["psnr"], 80), colour(index), 7 if row["best"] else 4.5, note)
    return plot


def growth(
    points: Sequence[tuple[float, float]], fit: tuple[float, float], x_label: str, y_label: str
) -> Plot:
    """A power law: measured dots, and the line y = factor * x ** exponent through them."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    factor, exponent = fit
    plot = Plot(
        f"{y_label} against {x_label}",
        (min(xs) * 0.8, max(xs) * 1.25),
        (min(ys) * 0.6, max(ys) * 1.7),
        x_label=x_label,
        y_label=y_label,
        log=True,
    )
    ends = (min(xs), max(xs))
    plot.curve([(x, factor * x**exponent) for x in ends], "fit")
    for x, y in points:
        plot.dot(x, y, "c0", 4, f"{number(x)}: {number(y)}")
    return plot
