"""cgt bench"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cgt.runtime.errors import CgtError, SinkError, UsageError
from cgt.runtime.image.geometry import SizeSpec, parse_size
from cgt.runtime.models.metadata import DIRECTIONS, Direction

from ._options import require_extra

if TYPE_CHECKING:
    from cgt.benchmarks.harness.results import BenchReport

T = TypeVar("T")
ClickCommand = Callable[..., Any]


def _list_callback(parse: Callable[[str], T]) -> Callable[..., tuple[T, ...]]:
    """A callback for options that take commas and may be given again."""

    def split(_: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[T, ...]:
        values: list[T] = []
        for text in ",".join(texts).split(",") if texts else ():
            try:
                values.append(parse(text.strip()))
            except ValueError as error:
                reason = str(error) if isinstance(error, CgtError) else f"{text!r} is not a count"
                raise UsageError(
                    reason if "--" in reason else f"{param.opts[0]}: {reason}"
                ) from None
        return tuple(dict.fromkeys(values))

    return split


def _parse_count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise ValueError
    return int(text)


def _list_option(
    *names: str, help: str, parse: Callable[[str], Any] = str
) -> Callable[[ClickCommand], ClickCommand]:
    return click.option(
        *names, multiple=True, callback=_list_callback(parse), metavar="LIST", help=help
    )


_PATH = click.Path(path_type=Path)


@click.group("bench", invoke_without_command=True)
@click.option(
    "--model",
    "models",
    multiple=True,
    type=_PATH,
    help="ONNX, monet (the default) or vintage. May be given again.",
)
@_list_option("--engine", "engines", help="openvino, onnxruntime, ...; by default the best.")
@_list_option(
    "--precision", "precisions", help="fp32, bf16, ...: fails unless it is computed in that."
)
@_list_option(
    "--size",
    "sizes",
    parse=parse_size,
    help="256 or 256x512 (HEIGHTxWIDTH); by default the model's.",
)
@_list_option("--batch", "batches", parse=_parse_count, help="Images per run; by default 1.")
@_list_option(
    "--streams",
    "streams",
    parse=_parse_count,
    help="Runs in flight; by default what the engine likes.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.1),
    default=3.0,
    show_default=True,
    help="Of each measurement.",
)
@click.option(
    "--pipeline",
    "source",
    metavar="SOURCE",
    help="Translate SOURCE to a video, too; for --matrix the pictures to compare on.",
)
@click.option(
    "--matrix",
    is_flag=True,
    help="Every engine and precision that runs here, and its PSNR against fp32.",
)
@click.option(
    "--candidates",
    is_flag=True,
    help="Instead of a model: the students that `cgt distill` chooses among (--json for it).",
)
@click.option("--ckpt", type=_PATH, help="For --matrix: a checkpoint, exported in every precision.")
@click.option("--direction", type=click.Choice(DIRECTIONS), help="Of --ckpt.")
@click.option("--calib", type=_PATH, help="For --ckpt: pictures or a video to calibrate int8 on.")
@click.option(
    "--min-psnr", type=float, help="For --matrix: dB that the best must have; fails where none has."
)
@click.option("--json", "json_path", type=_PATH, help="Write everything, with raw samples.")
@click.option("--html", "html_path", type=_PATH, help="Write a page with plots.")
@click.pass_context
def command(context: click.Context, /, **options: Any) -> None:
    """How fast a model is here, and what limits it. A LIST has commas.

    Latency is of one run after the other, throughput of several in flight: each is measured.
    `cgt bench compare A.json B.json` compares two reports.
    """
    if context.invoked_subcommand is not None:
        return
    if options.pop("candidates"):
        _bench_candidates(**options)
    else:
        _bench_models(**options)


def _bench_models(
    models: tuple[Path, ...],
    engines: tuple[str, ...],
    precisions: tuple[str, ...],
    sizes: tuple[SizeSpec, ...],
    batches: tuple[int, ...],
    streams: tuple[int, ...],
    seconds: float,
    source: str | None,
    matrix: bool,
    ckpt: Path | None,
    direction: Direction | None,
    calib: Path | None,
    min_psnr: float | None,
    json_path: Path | None,
    html_path: Path | None,
) -> None:
    from rich.console import Console

    from cgt.benchmarks.bench import BenchOptions, enforce_min_psnr, run_bench
    from cgt.benchmarks.report.console import print_report

    _check_output_dirs(json_path, html_path)
    if html_path:
        require_extra("plot", "matplotlib")
    if not matrix and (ckpt or calib or min_psnr is not None):
        raise UsageError("--ckpt, --calib and --min-psnr are for --matrix")
    options = BenchOptions(
        models=_collect_models(models, ckpt, direction, calib, matrix),
        engines=engines or ("auto",),
        precisions=precisions or ("auto",),
        sizes=sizes or (None,),
        batches=batches or (1,),
        streams=streams,
        seconds=seconds,
        source=source,
        matrix=matrix,
        min_psnr=min_psnr,
    )
    report = run_bench(options)
    print_report(report, Console())
    _save_report(report, json_path, html_path)
    enforce_min_psnr(report, min_psnr)


def _bench_candidates(
    engines: tuple[str, ...],
    precisions: tuple[str, ...],
    sizes: tuple[SizeSpec, ...],
    source: str | None,
    json_path: Path | None,
    **others: Any,
) -> None:
    """How fast students of the family would be here."""
    from rich.console import Console

    seconds = others.pop("seconds")
    if any(others.values()) or max(map(len, (engines, precisions, sizes))) > 1 or seconds != 3.0:
        raise UsageError(
            "--candidates goes with one --engine, one --precision, one --size, --pipeline SOURCE "
            "and --json alone"
        )
    size = sizes[0] if sizes else (256, 256)
    if not isinstance(size, tuple):
        raise UsageError("--size source needs a source; write 256 or 256x512")
    _check_output_dirs(json_path)
    require_extra("train", "torch", "onnx", "onnxscript")
    from cgt.distill.search.latency_table import print_latency_table
    from cgt.distill.search.measure import CandidateBenchmark, all_candidates, measure_candidates
    from cgt.runtime.utils.progress import progress_bar

    with progress_bar("measuring", len(all_candidates()), unit="student") as bar:
        choices = {"precision": precisions, "engine": engines}
        engine_options: dict[str, Any] = {
            name: values[0] for name, values in choices.items() if values
        }
        settings = CandidateBenchmark(
            size, **engine_options, video=source, on_progress=bar.set_postfix
        )
        table = measure_candidates(settings, bar.advance)
    print_latency_table(table, Console())
    if json_path:
        _write_file(table.save, json_path)


def _collect_models(
    models: tuple[Path, ...],
    ckpt: Path | None,
    direction: Direction | None,
    calib: Path | None,
    matrix: bool,
) -> list[Path]:
    """The files to measure: as given; for a matrix also what the checkpoint gives, or what lies
    beside a single file."""
    from cgt.benchmarks.analysis.matrix import export_all_precisions, find_sibling_models
    from cgt.runtime.inference.translator import DEFAULT_MODEL, resolve_model

    paths = [resolve_model(model) for model in models]
    if ckpt:
        require_extra("train", "torch", "onnx", "onnxscript")
        paths += export_all_precisions(
            ckpt, direction, calib, lambda note: click.echo(note, err=True)
        )
    elif matrix and len(paths) <= 1:
        paths = find_sibling_models(paths[0] if paths else DEFAULT_MODEL)
    return paths or [DEFAULT_MODEL]


def _check_output_dirs(*paths: Path | None) -> None:
    """Before anything takes time."""
    for path in paths:
        if path and not path.parent.is_dir():
            raise SinkError(f"cannot write {path}: the folder {path.parent} is missing")


def _save_report(report: BenchReport, json_path: Path | None, html_path: Path | None) -> None:
    from cgt.runtime.utils.atomic import atomic_write

    def save_html(path: Path) -> None:
        from cgt.benchmarks.report.html import render_html

        with atomic_write(path) as temporary:
            temporary.write_text(render_html(report), encoding="utf-8")

    if json_path:
        _write_file(report.save, json_path)
    if html_path:
        _write_file(save_html, html_path)


def _write_file(save: Callable[[Path], None], path: Path) -> None:
    try:
        save(path)
    except OSError as error:
        raise SinkError(f"cannot write {error.filename}: {error.strerror}") from None


@command.command("compare")
@click.argument("a", type=_PATH)
@click.argument("b", type=_PATH)
def compare_command(a: Path, b: Path) -> None:
    """Whether B is slower or faster than A: two reports of `cgt bench --json`."""
    from rich.console import Console

    from cgt.benchmarks.analysis.compare import compare_reports, environment_differences
    from cgt.benchmarks.harness.results import load_report
    from cgt.benchmarks.report.console import comparison_table

    first, second = load_report(a), load_report(b)
    comparisons = compare_reports(first, second)
    if not comparisons:
        raise UsageError("the two reports have no configuration in common")
    console = Console()
    console.print(comparison_table(comparisons))
    for line in environment_differences(first, second, comparisons):
        console.print(line, style="yellow", highlight=False)
