"""Console output of a benchmark report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cgt.runtime.image.geometry import format_size

from ..analysis.compare import Comparison
from ..harness.environment import machine_summary
from ..harness.results import BenchReport, Result

MAX_COLUMNS = 3  # more would not fit in 80 columns
IDENTICAL_PSNR_DB = 150.0  # float32 rounding alone gives this PSNR


def print_report(report: BenchReport, console: Console) -> None:
    """Print everything but the raw samples."""
    console.print(machine_summary(report.machine), style="dim")
    if report.matrix:
        floor, reference = report.matrix["min_psnr"], report.matrix["reference"]
        console.print(f"PSNR against {reference}; * is the fastest with at least {floor:g} dB")
        _print_matrix(report.matrix["rows"], console)
        for line in report.matrix["missing"]:
            console.print(line, style="dim")
    else:
        console.print(", ".join(sorted({result.model for result in report.results})), style="bold")
        for start in range(0, len(report.results), MAX_COLUMNS):
            console.print(results_table(report.results[start : start + MAX_COLUMNS]))
    if report.pipeline:
        for line in format_pipeline(report.pipeline):
            console.print(line)
        console.print(pipeline_table(report.pipeline))
    for line in report.warnings:
        console.print(f"warning: {line}", style="yellow")


def _print_matrix(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """Print a table for each size, and the reason for each configuration that does not run."""
    by_size: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_size.setdefault(row["size"], []).append(row)
    for size, same_size in by_size.items():
        console.print(size, style="bold")
        console.print(matrix_table(same_size))
    for row in rows:
        if row["status"] != "ok":
            reason = f"{row['engine']}, {row['file']}: {row['status']}"
            console.print(reason, style="dim")


def format_roofline_share(result: Result) -> str:
    """Return the percentage of the roofline that was reached, and the limiting resource."""
    if not result.limit:
        return "-"
    share = result.limit["seconds"] * 1e3 / result.percentile(50)
    return f"{share:.0%}, {result.limit['bound']}"


def format_memory(result: Result) -> str:
    """Return the peak memory in MiB, and how much of it the engine and the model added."""
    before = result.sessions[0].rss_before
    return f"{result.rss / 2**20:.0f} (+{(result.rss - before) / 2**20:.0f})"


def _format_cold_start(result: Result) -> str:
    first, *rest = (session.cold_start for session in result.sessions)
    return f"{first:.2f}" + (f", then {min(rest):.2f}" if rest else "")


RESULT_ROWS: dict[str, Callable[[Result], str]] = {
    "precision": lambda r: r.precision,
    "latency p50, ms": lambda r: f"{r.percentile(50):.2f}",
    "p90": lambda r: f"{r.percentile(90):.2f}",
    "p95": lambda r: f"{r.percentile(95):.2f}",
    "p99": lambda r: f"{r.percentile(99):.2f}",
    "max": lambda r: f"{r.percentile(100):.2f}",
    "runs, processes": lambda r: f"{len(r.samples)}, {len(r.sessions)}",
    "variation": lambda r: f"{r.variation:.1%}",
    "cold start, s": _format_cold_start,
    "memory peak, MiB": format_memory,
    "% of roofline": format_roofline_share,
}


def results_table(results: Sequence[Result]) -> Table:
    """Return a table with a column for each configuration; a row for each would be too wide."""
    table = Table("")
    for result in results:
        many = f" x{result.batch}" if result.batch > 1 else ""
        table.add_column(f"{result.engine}\n{format_size(result.size)}{many}", justify="right")
    for name, format_cell in RESULT_ROWS.items():
        table.add_row(name, *(format_cell(result) for result in results))
    for streams in sorted({s for result in results for s in result.throughput()}):
        rates = [result.throughput().get(streams) for result in results]
        name = f"frames/s, {streams} in flight"
        table.add_row(name, *("-" if rate is None else f"{rate:.1f}" for rate in rates))
    for name, values in _device_rows(results):
        table.add_row(name, *values)
    return table


def _device_rows(results: Sequence[Result]) -> list[tuple[str, list[str]]]:
    """Return rows for the steps of a run on a device; none without a device."""
    times = [result.sessions[0].device_times for result in results]
    if not any(times):
        return []
    steps = (
        ("copy in, ms", "h2d"),
        ("compute", "compute"),
        ("copy out", "d2h"),
        ("enqueue", "enqueue"),
    )
    rows = [
        (
            name,
            [
                "-" if t is None else f"{sorted(getattr(t, key))[len(t.h2d) // 2]:.3f}"
                for t in times
            ],
        )
        for name, key in steps
    ]
    graphs = ["-" if t is None else "on" if t.cuda_graph else "off" for t in times]
    return [
        *rows,
        ("CUDA graph (latency)", graphs),
        ("spin wait", ["-" if t is None else t.spin_wait for t in times]),
    ]


def matrix_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Return a row per file, engine and precision of one size; a star marks the best row."""
    table = Table("", "file", "verified")
    for name in ("p50 ms", "p99 ms", "frames/s", "PSNR dB"):
        table.add_column(name, justify="right")
    for row in rows:
        name = f"{'* ' if row['best'] else ''}{row['engine']}"
        if row["status"] == "ok":
            figures = (f"{row['p50']:.2f}", f"{row['p99']:.2f}", f"{row['fps']:.1f}")
            cells = (row["precision"], *figures, format_psnr(row["psnr_db"]))
        else:
            cells = ("fails", "", "", "", "")
        table.add_row(name, row["file_precision"], *cells, style="bold" if row["best"] else "")
    return table


def format_psnr(psnr_db: float | None) -> str:
    """Return a PSNR as text: dB, "same" for equal images, "-" if unknown."""
    if psnr_db is None:
        return "-"
    return "same" if psnr_db >= IDENTICAL_PSNR_DB else f"{psnr_db:.1f}"


def format_pipeline(run: dict[str, Any]) -> list[str]:
    """Describe an end-to-end run in three lines."""
    size = run["size"] or "the images' own sizes"
    ends = f"{Path(run['source']).name} to {run['sink']}"
    share = f", {run['efficiency']:.0%} of the engine alone" if run["efficiency"] else ""
    frames = f"{run['frames']} frames" + (f", {run['dropped']} dropped" if run["live"] else "")
    return [
        f"{ends} at {size}, {run['engine']} {run['precision']}",
        f"{frames} in {run['seconds']:.1f} s: {run['fps']:.1f} frames/s{share}",
        f"bound by {run['bound']}",
    ]


def pipeline_table(run: dict[str, Any]) -> Table:
    """Return the percentiles of each stage."""
    table = Table("stage")
    for q in (50, 90, 99):
        table.add_column(f"p{q} ms", justify="right")
    for name, stage in run["stages"].items():
        if stage["count"]:
            table.add_row(name, *(f"{stage[f'p{q}']:.2f}" for q in (50, 90, 99)))
    return table


def comparison_table(comparisons: Sequence[Comparison]) -> Table:
    """Return the ratios of B to A with their intervals."""
    table = Table("")
    for name in ("A", "B", "B / A", "98 % interval", ""):
        table.add_column(name, justify="right" if name else "left")
    colors = {"slower": "red", "faster": "green"}
    for c in comparisons:
        interval = f"{c.low:.3f} to {c.high:.3f}"
        result_text = Text(c.result, colors.get(c.result, ""))
        table.add_row(
            f"{c.label}\n{c.metric}",
            f"{c.a:.2f}",
            f"{c.b:.2f}",
            f"{c.ratio:.3f}",
            interval,
            result_text,
        )
    return table
