"""HTML report of a benchmark: one self-contained page without scripts, fonts or requests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from cgt.runtime.utils.atomic import atomic_write

from ..harness.environment import machine_summary
from ..harness.results import BenchReport, Result
from .console import RESULT_ROWS, format_psnr, format_roofline_share
from .plots import (
    color,
    plot_latency_histogram,
    plot_latency_timeline,
    plot_quality_vs_speed,
    plot_roofline,
    plot_stages,
    to_svg,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_PLOTTED_RESULTS = 4  # configurations that get plots of their own: the fastest


def render_html(report: BenchReport) -> str:
    """Return the page as HTML."""
    names = sorted({result.model for result in report.results})
    title = f"cgt bench: {', '.join(names)}"
    subtitle = f"{machine_summary(report.machine)} · {report.date.replace('T', ' ')}"
    parts = [
        _headline_html(report),
        _warnings_html(report.warnings),
        _matrix_html(report),
        _results_html(report.results),
        _pipeline_html(report.pipeline),
        _latency_html(report.results),
        _roofline_html(report),
        _conditions_html(report),
    ]
    return page_html(title, subtitle, parts)


def save_html(report: BenchReport, path: Path) -> None:
    """Write the page of a report, whole or not at all. Raises OSError."""
    with atomic_write(path) as temporary:
        temporary.write_text(render_html(report), encoding="utf-8")


def page_html(title: str, subtitle: str, parts: Iterable[str]) -> str:
    """Return a page of HTML parts in the template."""
    template = Template(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    body = "\n".join(part for part in parts if part)
    return template.substitute(title=escape(title), subtitle=escape(subtitle), body=body)


def figure_html(caption: str, plot: Figure, below: str = "") -> str:
    """Return a plot with its caption as HTML."""
    return f"<figure><h3>{escape(caption)}</h3>{to_svg(plot, caption)}{below}</figure>"


def legend(names: Sequence[str]) -> str:
    """Return a line of names, each with the color of its series, as HTML."""
    items = (
        f'<span><i style="color: {color(index)}"></i>{escape(name)}</span>'
        for index, name in enumerate(names)
    )
    return f'<p class="legend">{"".join(items)}</p>'


def section_html(heading: str, inner: str, description: str = "") -> str:
    """Return a section of HTML with a text description."""
    note = f'<p class="soft">{escape(description)}</p>' if description else ""
    return f"<section><h2>{escape(heading)}</h2>{note}{inner}</section>"


def table_html(head: Sequence[str], rows: Iterable[Sequence[str]], best: Iterable[int] = ()) -> str:
    """Return a table of text cells; `best` lists the rows to highlight."""
    marked = set(best)
    lines = ["<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"]
    for index, row in enumerate(rows):
        kind = ' class="best"' if index in marked else ""
        lines.append(f"<tr{kind}>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>")
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def _headline_html(report: BenchReport) -> str:
    if not report.results:
        return ""
    best = min(report.results, key=lambda result: result.percentile(50))
    figures = [
        (f"{best.percentile(50):.2f} ms", f"latency, p50, {best.label}"),
        (f"{best.percentile(99):.2f} ms", f"p99 of {len(best.samples)} runs"),
        (f"{best.fps:.1f}", "frames/s, engine alone"),
        (f"{best.sessions[0].cold_start:.2f} s", "cold start"),
        (f"{best.rss / 2**20:.0f} MiB", "memory, peak"),
    ]
    if best.limit:
        figures.append(
            (
                format_roofline_share(best).split(",")[0],
                f"of roofline, {best.limit['bound']} bound",
            )
        )
    if report.pipeline:
        figures.insert(0, (f"{report.pipeline['fps']:.1f}", "frames/s, end to end"))
    cards = "".join(f"<div><b>{escape(b)}</b><span>{escape(s)}</span></div>" for b, s in figures)
    return f'<section class="figures">{cards}</section>'


def _warnings_html(lines: Sequence[str]) -> str:
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<section class="warnings"><ul>{items}</ul></section>'


def _results_html(results: Sequence[Result]) -> str:
    if not results:
        return ""
    head = ["", *(result.label for result in results)]
    rows = [
        [name, *(format_cell(result) for result in results)]
        for name, format_cell in RESULT_ROWS.items()
    ]
    for streams in sorted({s for result in results for s in result.throughput()}):
        rates = [result.throughput().get(streams) for result in results]
        cells = ("-" if rate is None else f"{rate:.1f}" for rate in rates)
        rows.append([f"frames/s, {streams} in flight", *cells])
    return section_html("Engines", table_html(head, rows))


def _latency_html(results: Sequence[Result]) -> str:
    shown = sorted(results, key=lambda result: result.percentile(50))[:MAX_PLOTTED_RESULTS]
    plots = "".join(
        figure_html(f"{r.label}: histogram", plot_latency_histogram(r))
        + figure_html(f"{r.label}: timeline", plot_latency_timeline(r))
        for r in shown
    )
    return section_html("Latency", f'<div class="plots">{plots}</div>') if shown else ""


def _pipeline_html(run: dict[str, Any] | None) -> str:
    if not run:
        return ""
    share = f", {run['efficiency']:.0%} of the engine alone" if run["efficiency"] else ""
    description = (
        f"{run['frames']} frames in {run['seconds']:.1f} s, {run['fps']:.1f} frames/s{share}, "
        f"{run['dropped']} dropped; bound by {run['bound']}."
    )
    plot = figure_html(f"{Path(run['source']).name} to {run['sink']}", plot_stages(run["stages"]))
    return section_html("End to end", f'<div class="plots">{plot}</div>', description)


def _roofline_html(report: BenchReport) -> str:
    shown = [result for result in report.results if result.limit]
    if not shown or not report.peaks:
        return ""
    rows = []
    for r in shown:
        assert r.limit
        rows.append(
            [
                r.label,
                f"{r.limit['macs'] / 1e9:.2f}",
                f"{r.limit['bytes'] / 1e6:.1f}",
                f"{r.limit['seconds'] * 1e3:.2f}",
                f"{r.percentile(50):.2f}",
                format_roofline_share(r),
            ]
        )
    head = ["", "G multiply-adds", "MB", "bound, ms", "p50, ms", "% of roofline"]
    names = legend([r.label for r in shown])
    plot = figure_html("Roofline", plot_roofline(shown), names)
    description = (
        "No run can be faster than each layer's multiply-adds at the peak measured on this "
        "machine (large convolutions through the same engine) or its bytes at the rate of a copy."
    )
    inner = f'<div class="plots">{plot}</div>{table_html(head, rows)}'
    return section_html("Roofline", inner, description)


def _matrix_html(report: BenchReport) -> str:
    if not report.matrix:
        return ""
    head = ["", "size", "computed in", "p50, ms", "p99, ms", "frames/s", "PSNR, dB", "status"]
    rows = []
    for row in report.matrix["rows"]:
        ran = row["status"] == "ok"
        figures = [f"{row[key]:.2f}" for key in ("p50", "p99")] + [
            f"{row['fps']:.1f}",
            format_psnr(row["psnr_db"]),
        ]
        name = f"{row['engine']}, {row['file_precision']} file"
        rows.append(
            [name, row["size"], row["precision"], *(figures if ran else [""] * 4), row["status"]]
        )
    best = [index for index, row in enumerate(report.matrix["rows"]) if row["best"]]
    description = (
        f"PSNR against {report.matrix['reference']}; highlighted: the fastest with at least "
        f"{report.matrix['min_psnr']:g} dB."
    )
    inner = table_html(head, rows, best)
    shown = [r for r in report.matrix["rows"] if r["status"] == "ok" and r["psnr_db"] is not None]
    if shown:
        plot = plot_quality_vs_speed(shown, report.matrix["min_psnr"])
        names = legend([f"{row['label']} {row['size']}" for row in shown])
        inner += f'<div class="plots">{figure_html("Quality against speed", plot, names)}</div>'
    return section_html("Every engine and precision that runs here", inner, description)


def _conditions_html(report: BenchReport) -> str:
    values = {"command": " ".join(report.command), **report.machine}
    states = {"before": report.before, "after": report.after}
    values |= {
        f"{name}, {when}": value for when, state in states.items() for name, value in state.items()
    }
    named = {name.replace("_", " "): _format_value(value) for name, value in values.items()}
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td><code>{escape(value)}</code></td></tr>"
        for name, value in named.items()
    )
    return f"<details><summary>Conditions</summary><table>{rows}</table></details>"


def _format_value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_format_value(inner)}" for name, inner in value.items())
    return value if isinstance(value, str) else json.dumps(value)
