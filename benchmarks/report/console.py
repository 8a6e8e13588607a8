"""A report on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..analysis.compare import Comparison
from ..harness.environment import machine_summary
from ..harness.results import BenchReport, Result

MAX_COLUMNS = 3  # so that no figure is cut off at 80 columns
IDENTICAL_PSNR_DB = 150.0  # dB: float32 rounding alone


def print_report(report: BenchReport, console: Console) -> None:
    """Everything but the raw samples."""
    console.print(machine_summary(report.machine), style="dim", highlight=False)
    if report.matrix:
        floor, reference = report.matrix["min_psnr"], report.matrix["reference"]
        console.print(f"PSNR against {reference}; * is the fastest with at least {floor:g} dB")
        _print_matrix(report.matrix["rows"], console)
        for line in report.matrix["missing"]:
            console.print(escape(line), style="dim", highlight=False)
    else:
        console.print(", ".join(sorted({result.model for result in report.results})), style="bold")
        for start in range(0, len(report.results), MAX_COLUMNS):
            console.print(results_table(report.results[start : start + MAX_COLUMNS]))
    if report.pipeline:
        for line in format_pipeline(report.pipeline):
            console.print(escape(line), highlight=False)
        console.print(pipeline_table(report.pipeline))
    for line in report.warnings:
        console.print(f"warning: {escape(line)}", style="yellow", highlight=False)


def _print_matrix(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """A table for each size, and why something does not run."""
    by_size: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_size.setdefault("{}x{}".format(*row["size"]), []).append(row)
    for size, same_size in by_size.items():
        console.print(size, style="bold", highlight=False)
        console.print(matrix_table(same_size))
    for row in rows:
        if row["status"] != "ok":
            why = f"{row['engine']}, {row['file']}: {row['status']}"
            console.print(escape(why), style="dim", highlight=False)


def format_roofline_share(result: Result) -> str:
    """Percent of the attainable, and what bounds."""
    if not result.limit:
        return "-"
    share = result.limit["seconds"] * 1e3 / result.percentile(50)
    return f"{share:.0%}, {result.limit['bound']}"


def format_memory(result: Result) -> str:
    """Peak, and what of it came with the engine and the model."""
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
    "of the attainable": format_roofline_share,
}


def results_table(results: Sequence[Result]) -> Table:
    """A column per configuration: a row each would not fit."""
    table = Table("")
    for result in results:
        many = f" x{result.batch}" if result.batch > 1 else ""
        table.add_column(
            f"{result.engine}\n{result.size[0]}x{result.size[1]}{many}", justify="right"
        )
    for name, fact in RESULT_ROWS.items():
        table.add_row(name, *(fact(result) for result in results))
    for streams in sorted({s for result in results for s in result.throughput()}):
        rates = [result.throughput().get(streams) for result in results]
        name = f"frames/s, {streams} in flight"
        table.add_row(name, *("-" if rate is None else f"{rate:.1f}" for rate in rates))
    for name, values in _device_rows(results):
        table.add_row(name, *values)
    return table


def _device_rows(results: Sequence[Result]) -> list[tuple[str, list[str]]]:
    """Where a run's time goes on a device; no rows where there is none."""
    times = [result.sessions[0].device_times for result in results]
    if not any(times):
        return []
    parts = (
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
        for name, key in parts
    ]
    graphs = ["-" if t is None else "on" if t.cuda_graph else "off" for t in times]
    return [
        *rows,
        ("CUDA graph (latency)", graphs),
        ("spin wait", ["-" if t is None else t.spin_wait for t in times]),
    ]


def matrix_table(rows: Sequence[dict[str, Any]]) -> Table:
    """A row per file, engine and precision, all of one size; the fastest good one is starred."""
    table = Table("", "file", "verified")
    for name in ("p50 ms", "p99 ms", "frames/s", "PSNR dB"):
        table.add_column(name, justify="right")
    for row in rows:
        name = f"{'* ' if row['best'] else ''}{row['engine']}"
        if row["status"] == "ok":
            figures = (f"{row['p50']:.2f}", f"{row['p99']:.2f}", f"{row['fps']:.1f}")
            cells = (row["precision"], *figures, format_psnr(row["psnr"]))
        else:
            cells = ("fails", "", "", "", "")
        table.add_row(name, row["graph"], *cells, style="bold" if row["best"] else "")
    return table


def format_psnr(psnr: float | None) -> str:
    """PSNR as one reads it."""
    return "-" if psnr is None else "same" if psnr >= IDENTICAL_PSNR_DB else f"{psnr:.1f}"


def format_pipeline(run: dict[str, Any]) -> list[str]:
    """One run end to end, in words."""
    size = "{}x{}".format(*run["size"]) if run["size"] else "the pictures' own sizes"
    ends = f"{Path(run['source']).name} to {run['sink']}"
    share = f", {run['efficiency']:.0%} of the engine alone" if run["efficiency"] else ""
    frames = f"{run['frames']} frames" + (f", {run['dropped']} dropped" if run["live"] else "")
    return [
        f"{ends} at {size}, {run['engine']} {run['precision']}",
        f"{frames} in {run['seconds']:.1f} s: {run['fps']:.1f} frames/s{share}",
        f"bound by {run['bound']}",
    ]


def pipeline_table(run: dict[str, Any]) -> Table:
    """Stage by stage."""
    table = Table("stage")
    for q in (50, 90, 99):
        table.add_column(f"p{q} ms", justify="right")
    for name, facts in run["stages"].items():
        if facts["count"]:
            table.add_row(name, *(f"{facts[f'p{q}']:.2f}" for q in (50, 90, 99)))
    return table


def comparison_table(comparisons: Sequence[Comparison]) -> Table:
    """Ratios of B to A."""
    table = Table("")
    for name in ("A", "B", "B by A", "98 % interval", ""):
        table.add_column(name, justify="right" if name else "left")
    colors = {"slower": "red", "faster": "green"}
    for c in comparisons:
        interval = f"{c.low:.3f} to {c.high:.3f}"
        result_text = f"[{colors[c.result]}]{c.result}" if c.result in colors else c.result
        table.add_row(
            f"{c.label}\n{c.metric}",
            f"{c.a:.2f}",
            f"{c.b:.2f}",
            f"{c.ratio:.3f}",
            interval,
            result_text,
        )
    return table
