"""The commands of `cgt bench`: students and compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cgt.runtime.errors import UsageError
from cgt.runtime.image.geometry import parse_size

from ._options import (
    PATH,
    STDOUT,
    Verb,
    check_output_paths,
    json_option,
    opt,
    opts,
    require_extra,
    save_with,
)


@click.command("students", cls=Verb)
@opt("--size", default="256", group="Essentials", help="256 or WIDTHxHEIGHT.  [default: 256]")
@opts(
    "Essentials",
    ("--precision", str, "Precision of the students.  [default: int8]"),
    ("--engine", str, "Engine to run them on.  [default: the fastest]"),
    ("--pipeline", str, "Video to measure decoding and encoding on.  [default: a test pattern]"),
)
@json_option()
def students_command(
    size: str,
    precision: str | None,
    engine: str | None,
    pipeline: str | None,
    json_path: Path | None,
) -> None:
    """Measure all students of `cgt distill`.

    The file of --json is for `cgt distill --latency-table` on another machine.
    """
    parsed = parse_size(size)
    if not isinstance(parsed, tuple):
        raise UsageError("--size source needs a source; write 256 or 512x256")
    check_output_paths(json_path, inputs=(pipeline,))
    require_extra("train", "torch", "onnx", "onnxscript")
    from cgt.distill.search.latency_table import print_latency_table
    from cgt.distill.search.measure import CandidateBenchmark, all_candidates, measure_candidates
    from cgt.runtime.utils.progress import open_console, progress_bar

    chosen: dict[str, Any] = {"precision": precision, "engine": engine}
    with progress_bar("measuring", len(all_candidates()), unit="student") as bar:
        settings = CandidateBenchmark(
            parsed,
            **{name: value for name, value in chosen.items() if value},
            video=pipeline,
            on_progress=bar.set_postfix,
        )
        table = measure_candidates(settings, bar.advance)
    print_latency_table(table, open_console(stderr=json_path == STDOUT))
    if json_path:
        save_with(table.save, json_path)


@click.command("compare", cls=Verb)
@click.argument("a", type=PATH)
@click.argument("b", type=PATH)
def compare_command(a: Path, b: Path) -> None:
    """Compare two reports of `cgt bench --json`.

    For each configuration, print whether B is faster or slower than A.
    """
    from cgt.benchmarks.analysis.compare import compare_reports, environment_differences
    from cgt.benchmarks.harness.results import load_report
    from cgt.benchmarks.report.console import comparison_table
    from cgt.runtime.utils.progress import open_console

    first, second = load_report(a), load_report(b)
    comparisons = compare_reports(first, second)
    if not comparisons:
        raise UsageError("the two reports have no configuration in common")
    console = open_console()
    console.print(comparison_table(comparisons))
    for line in environment_differences(first, second, comparisons):
        console.print(line, style="yellow")
