"""The verb `cgt bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cgt.runtime.errors import UsageError
from cgt.runtime.image.geometry import SizeSpec, parse_size
from cgt.runtime.models.checkpoint_options import CheckpointOptions
from cgt.runtime.models.metadata import DIRECTIONS, Direction
from cgt.runtime.models.third_party import ModelFormat

from ._bench_commands import compare_command, students_command
from ._options import (
    PATH,
    STDOUT,
    VerbGroup,
    check_output_paths,
    json_option,
    list_option,
    opt,
    options_from,
    opts,
    pop_model_options,
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
    _WHAT, "--size", "sizes", parse=parse_size, help="256 or WIDTHxHEIGHT.  [default: the model's]"
)
@list_option(_WHAT, "--batch", "batches", parse=_parse_count, help="Images per run.  [default: 1]")
@list_option(
    _WHAT, "--streams", "streams", parse=_parse_count, help="Runs in flight.  [default: auto]"
)
@list_option(
    _WHAT,
    "--precision",
    "precisions",
    help="fp32, bf16, ...; fail if the engine computes in another.",
)
@opt(
    "--seconds",
    type=click.FloatRange(0.1),
    default=3.0,
    metavar="SECONDS",
    group=_WHAT,
    help="Length of each measurement.  [default: 3]",
)
@opt(
    "--pipeline",
    "source",
    metavar="SOURCE",
    group=_WHAT,
    help="Also measure the translation of this video, end to end.",
)
@options_from(ModelFormat, CheckpointOptions)
@json_option()
@opts("Output", ("--html", PATH, "Write an HTML page with plots to this file, extra [plot]."))
@opts(
    _MATRIX,
    ("--matrix", bool, "Measure all installed engines and precisions, with PSNR against fp32."),
    ("--ckpt", PATH, "Checkpoint to export in every precision."),
    ("--direction", click.Choice(DIRECTIONS), "Direction of --ckpt."),
    ("--calib", PATH, "Images or a video to calibrate INT8 on."),
    ("--min-psnr", float, "Minimum PSNR in dB of the best; exit code 4 if none reaches it."),
)
@click.pass_context
def command(context: click.Context, /, **options: Any) -> None:
    """Measure the speed of a model on this machine, and what limits it.

    Latency is measured with one run after the other, throughput with several in flight. A LIST is
    separated by commas.
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

    checkpoint_options, model_format = pop_model_options(settings, ckpt)
    inputs = (*models, ckpt, calib, settings["source"])
    check_output_paths(json_path, html, inputs=inputs)
    if html:
        require_extra("plot", "matplotlib")
    if not settings["matrix"] and (ckpt or calib or settings["min_psnr"] is not None):
        raise UsageError("--ckpt, --calib and --min-psnr are for --matrix")
    paths = [resolve_model(model) for model in models]
    if ckpt:
        require_extra("train", "torch", "onnx", "onnxscript")
        paths += export_all_precisions(ckpt, direction, calib, _print_note, checkpoint_options)
    elif settings["matrix"] and len(paths) <= 1:
        paths = find_sibling_models(paths[0] if paths else DEFAULT_MODEL, model_format)
    options = BenchOptions(
        models=paths or [DEFAULT_MODEL],
        engines=engines or ("auto",),
        precisions=precisions or ("auto",),
        sizes=sizes or (None,),
        batches=batches or (1,),
        model_format=model_format,
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


command.add_command(students_command)
command.add_command(compare_command)
