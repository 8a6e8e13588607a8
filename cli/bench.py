"""cgt bench"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cgt.runtime.artifact import DIRECTIONS, Direction
from cgt.runtime.errors import CgtError, SinkError, UsageError
from cgt.runtime.geometry import Size, parse_size

from .extras import need

if TYPE_CHECKING:
    from cgt.benchmarks.results import Report

T = TypeVar("T")
Command = Callable[..., Any]


def _listed(read: Callable[[str], T]) -> Callable[..., tuple[T, ...]]:
    """A callback for options that take commas and may be given again."""

    def split(_: click.Context, param: click.Parameter, given: tuple[str, ...]) -> tuple[T, ...]:
        values: list[T] = []
        for text in ",".join(given).split(",") if given else ():
            try:
                values.append(read(text.strip()))
            except ValueError as error:
                why = str(error) if isinstance(error, CgtError) else f"{text!r} is not a count"
                raise UsageError(why if "--" in why else f"{param.opts[0]}: {why}") from None
        return tuple(dict.fromkeys(values))

    return split


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise ValueError
    return int(text)


def _many(*names: str, help: str, read: Callable[[str], Any] = str) -> Callable[[Command], Command]:
    return click.option(*names, multiple=True, callback=_listed(read), metavar="LIST", help=help)


_PATH = click.Path(path_type=Path)


@click.group("bench", invoke_without_command=True)
@click.option(
    "--model",
    "models",
    multiple=True,
    type=_PATH,
    help="ONNX, monet (the default) or vintage. May be given again.",
)
@_many("--engine", "engines", help="openvino, onnxruntime, ...; by default the best.")
@_many("--precision", "precisions", help="fp32, bf16, ...: fails unless it is computed in that.")
@_many(
    "--size",
    "sizes",
    read=parse_size,
    help="256 or 256x512 (HEIGHTxWIDTH); by default the model's.",
)
@_many("--batch", "batches", read=_count, help="Images per run; by default 1.")
@_many(
    "--streams", "streams", read=_count, help="Runs in flight; by default what the engine likes."
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
def command(context: click.Context, /, **given: Any) -> None:
    """How fast a model is here, and what limits it. A LIST has commas.

    Latency is of one run after the other, throughput of several in flight: each is measured.
    `cgt bench compare A.json B.json` compares two reports.
    """
    if context.invoked_subcommand is not None:
        return
    if given.pop("candidates"):
        _candidates(**given)
    else:
        _bench(**given)


def _bench(
    models: tuple[Path, ...],
    engines: tuple[str, ...],
    precisions: tuple[str, ...],
    sizes: tuple[Size, ...],
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

    from cgt.benchmarks.bench import Options, enforce, run_bench
    from cgt.benchmarks.tables import print_report

    _check_outputs(json_path, html_path)
    if html_path:
        need("plot", "matplotlib")
    if not matrix and (ckpt or calib or min_psnr is not None):
        raise UsageError("--ckpt, --calib and --min-psnr are for --matrix")
    options = Options(
        models=_models(models, ckpt, direction, calib, matrix),
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
    _save(report, json_path, html_path)
    enforce(report, min_psnr)


def _candidates(
    engines: tuple[str, ...],
    precisions: tuple[str, ...],
    sizes: tuple[Size, ...],
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
    _check_outputs(json_path)
    need("train", "torch", "onnx", "onnxscript")
    from cgt.benchmarks.candidate_table import print_table
    from cgt.benchmarks.candidates import Measuring, every_candidate, measure_candidates
    from cgt.runtime.progress import progress_bar

    with progress_bar("measuring", len(every_candidate()), unit="student") as bar:
        asked = {"precision": precisions, "engine": engines}
        given: dict[str, Any] = {name: values[0] for name, values in asked.items() if values}
        measuring = Measuring(size, **given, video=source, tell=bar.note)
        table = measure_candidates(measuring, bar.advance)
    print_table(table, Console())
    if json_path:
        _write(table.save, json_path)


def _models(
    models: tuple[Path, ...],
    ckpt: Path | None,
    direction: Direction | None,
    calib: Path | None,
    matrix: bool,
) -> list[Path]:
    """The files to measure: as given; for a matrix also what the checkpoint gives, or what lies
    beside a single file."""
    from cgt.benchmarks.variants import exports, siblings
    from cgt.runtime.translator import BUNDLED_MODEL, model_file

    found = [model_file(model) for model in models]
    if ckpt:
        need("train", "torch", "onnx", "onnxscript")
        found += exports(ckpt, direction, calib, lambda note: click.echo(note, err=True))
    elif matrix and len(found) <= 1:
        found = siblings(found[0] if found else BUNDLED_MODEL)
    return found or [BUNDLED_MODEL]


def _check_outputs(*paths: Path | None) -> None:
    """Before anything takes time."""
    for path in paths:
        if path and not path.parent.is_dir():
            raise SinkError(f"cannot write {path}: the folder {path.parent} is missing")


def _save(report: Report, json_path: Path | None, html_path: Path | None) -> None:
    from cgt.runtime.files import whole_file

    def page(path: Path) -> None:
        from cgt.benchmarks.page import render

        with whole_file(path) as temporary:
            temporary.write_text(render(report), encoding="utf-8")

    if json_path:
        _write(report.save, json_path)
    if html_path:
        _write(page, html_path)


def _write(save: Callable[[Path], None], path: Path) -> None:
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

    from cgt.benchmarks.compare import compare, remarks
    from cgt.benchmarks.results import load_report
    from cgt.benchmarks.tables import comparison_table

    first, second = load_report(a), load_report(b)
    found = compare(first, second)
    if not found:
        raise UsageError("the two reports have no configuration in common")
    console = Console()
    console.print(comparison_table(found))
    for line in remarks(first, second, found):
        console.print(line, style="yellow", highlight=False)
