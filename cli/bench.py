"""The verb `cgt bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cgt.runtime.errors import UsageError
from cgt.runtime.image.geometry import SizeSpec, parse_size
from cgt.runtime.models.metadata import DIRECTIONS, Direction

from ._options import (
    PATH,
    STDOUT,
    Verb,
    VerbGroup,
    check_output_paths,
    json_option,
    list_option,
    opt,
    opts,
    require_extra,
    save_with,
)

_WHAT, _MATRIX = "Essentials", "Matrix of engines and precisions (--matrix)"


def _parse_count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise ValueError
    return int(text)


@click.group("bench", cls=VerbGroup, invoke_without_command=True)
@opt(
    "--model",
    "models",
    multiple=True,
    type=PATH,
    group=_WHAT,
    help="ONNX model, monet or vintage. Repeat it for several.  [default: monet]",
)
@list_option(
    _WHAT, "--engine", "engines", help="openvino, onnxruntime, ...  [default: the fastest]"
)
@list_option(
    _WHAT, "--size", "sizes", parse=parse_size, help="256 or WIDTHxHEIGHT.  [default: model's]"
)
@list_option(_WHAT, "--batch", "batches", parse=_parse_count, help="Images per run.  [default: 1]")
@list_option(
    _WHAT, "--streams", "streams", parse=_parse_count, help="Runs in flight.  [default: auto]"
)
@list_option(
    _WHAT, "--precision", "precisions", help="fp32, bf16, ...; fail unless it is computed so."
)
@opt(
    "--seconds",
    type=click.FloatRange(0.1),
    default=3.0,
    metavar="SECONDS",
    group=_WHAT,
    help="Length of each measurement.  [default: 3]",
)
@opt("--pipeline", "source", metavar="SOURCE", group=_WHAT, help="Also translate SOURCE to video.")
@json_option()
@opts("Output", ("--html", PATH, "Write a page with plots to this file, extra [plot]."))
@opts(
    _MATRIX,
    ("--matrix", bool, "Measure every engine and precision here, with PSNR against fp32."),
    ("--ckpt", PATH, "Checkpoint to export in every precision."),
    ("--direction", click.Choice(DIRECTIONS), "Direction of --ckpt."),
    ("--calib", PATH, "Images or a video to calibrate INT8 on."),
    ("--min-psnr", float, "Lowest PSNR in dB of the best; exit code 4 where none has it."),
)
@click.pass_context
def command(context: click.Context, /, **options: Any) -> None:
    """Measure how fast a model is here, and what limits it. A LIST has commas.

    Latency is measured with one run after the other, throughput with several in flight.
    """
    if context.invoked_subcommand is None:
        _bench_models(**options)


def _bench_models(
    models: tuple[Path, ...],
    engines: tuple[str, ...],
    precisions: tuple[str, ...],
    sizes: tuple[SizeSpec, ...],
    batches: tuple[int, ...],
    json_path: Path | None,
    html: Path | None,
    ckpt: Path | None,
    direction: Direction | None,
    calib: Path | None,
    **settings: Any,
) -> None:
    from cgt.benchmarks.analysis.matrix import export_all_precisions, find_sibling_models
    from cgt.benchmarks.bench import BenchOptions, enforce_min_psnr, run_bench
    from cgt.benchmarks.report.console import print_report
    from cgt.benchmarks.report.html import save_html
    from cgt.runtime.inference.translator import DEFAULT_MODEL, resolve_model
    from cgt.runtime.utils.progress import open_console

    inputs = (*models, ckpt, calib, settings["source"])
    check_output_paths(json_path, html, inputs=inputs)
    if html:
        require_extra("plot", "matplotlib")
    if not settings["matrix"] and (ckpt or calib or settings["min_psnr"] is not None):
        raise UsageError("--ckpt, --calib and --min-psnr are for --matrix")
    paths = [resolve_model(model) for model in models]
    if ckpt:
        require_extra("train", "torch", "onnx", "onnxscript")
        paths += export_all_precisions(ckpt, direction, calib, _print_note)
    elif settings["matrix"] and len(paths) <= 1:
        paths = find_sibling_models(paths[0] if paths else DEFAULT_MODEL)
    options = BenchOptions(
        models=paths or [DEFAULT_MODEL],
        engines=engines or ("auto",),
        precisions=precisions or ("auto",),
        sizes=sizes or (None,),
        batches=batches or (1,),
        **settings,
    )
    report = run_bench(options)
    print_report(report, open_console(stderr=json_path == STDOUT))
    if json_path:
        save_with(report.save, json_path)
    if html:
        save_with(lambda path: save_html(report, path), html)
    enforce_min_psnr(report, options.min_psnr)


def _print_note(text: str) -> None:
    click.echo(text, err=True)


@command.command("students", cls=Verb)
@opt("--size", default="256", group=_WHAT, help="256 or WIDTHxHEIGHT.  [default: 256]")
@opts(
    _WHAT,
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
    """Measure the students that `cgt distill` chooses among; --json for --latency-table."""
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


@command.command("compare", cls=Verb)
@click.argument("a", type=PATH)
@click.argument("b", type=PATH)
def compare_command(a: Path, b: Path) -> None:
    """Tell whether B is slower or faster than A: two reports of `cgt bench --json`."""
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
