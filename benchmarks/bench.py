"""What `cgt bench` does: measure, find limits and doubts, and put it all into one report."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from cgt.runtime.errors import CgtError, QualityError
from cgt.runtime.image.geometry import SizeSpec
from cgt.runtime.utils.progress import progress_bar

from .analysis.matrix import MIN_PSNR_DB, measure_matrix
from .analysis.roofline import attach_roofline_bounds
from .harness.end_to_end import measure_end_to_end
from .harness.environment import current_conditions, describe_machine
from .harness.measurement_warnings import collect_warnings
from .harness.results import BenchReport
from .harness.runner import NUM_SESSIONS, make_jobs, run_jobs


@dataclass(frozen=True)
class BenchOptions:
    """One `cgt bench`, as its flags say it. models: of one network where `matrix`."""

    models: Sequence[Path]
    engines: Sequence[str] = ("auto",)
    precisions: Sequence[str] = ("auto",)
    sizes: Sequence[SizeSpec] = (None,)
    batches: Sequence[int] = (1,)
    streams: Sequence[int] = ()
    seconds: float = 3.0
    source: str | None = None
    matrix: bool = False
    min_psnr: float | None = None


def run_bench(options: BenchOptions) -> BenchReport:
    """Raises the errors of models and engines. The floor of `min_psnr` is enforced by `enforce`,
    so that the report can be written before."""
    report = BenchReport(
        command=["cgt", *sys.argv[1:]],
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        machine=describe_machine(),
        before=current_conditions(),
    )
    notes: list[str] = []
    if options.matrix:
        notes += _run_matrix(report, options)
    else:
        _run_jobs(report, options)
    if options.source and not options.matrix:
        _run_end_to_end(report, options)
    report.after = current_conditions()
    report.peaks, missing = attach_roofline_bounds(
        report.results, {p.name: p for p in options.models}
    )
    report.warnings = collect_warnings(report) + missing + notes
    return report


def enforce_min_psnr(report: BenchReport, min_psnr: float | None) -> None:
    """Raises QualityError where a floor was asked for and nothing reaches it, or nothing that was
    asked for does in one of the sizes."""
    if min_psnr is None or report.matrix is None:
        return
    rows = [row for row in report.matrix["rows"] if row["status"] == "ok"]
    if not any(row["best"] for row in rows):
        raise QualityError(f"nothing that runs here reaches the floor of {min_psnr:g} dB")


def _run_jobs(report: BenchReport, options: BenchOptions) -> None:
    jobs = make_jobs(
        options.models,
        options.engines,
        options.precisions,
        options.sizes,
        options.batches,
        options.streams,
        options.seconds,
    )
    with progress_bar("measuring", len(jobs) * NUM_SESSIONS, unit="session") as bar:

        def show_progress(what: str) -> None:
            bar.set_postfix(what)
            bar.advance()

        report.results = run_jobs(jobs, on_progress=show_progress)
    for result in report.results:
        if result.requested_precision not in ("auto", result.precision, result.file_precision):
            raise CgtError(
                f"{result.engine} computes {result.model} in {result.precision}, "
                f"not in {result.requested_precision}; export it with --{result.requested_precision} or leave --precision out"
            )


def _run_matrix(report: BenchReport, options: BenchOptions) -> list[str]:
    with progress_bar("measuring", None, unit="session") as bar:

        def show_progress(what: str) -> None:
            bar.set_postfix(what)
            bar.advance()

        matrix, report.results = measure_matrix(
            options.models,
            options.sizes,
            options.engines,
            options.precisions,
            MIN_PSNR_DB if options.min_psnr is None else options.min_psnr,
            options.seconds,
            options.source,
            show_progress,
        )
    report.matrix = matrix.to_json()
    return matrix.missing


def _run_end_to_end(report: BenchReport, options: BenchOptions) -> None:
    assert options.source is not None
    first = report.results[0]
    run = measure_end_to_end(
        options.source, options.models[0], first.engine, options.sizes[0], options.seconds
    )
    # The engine alone is measured at the size that the pipeline chose for this source.
    engine_fps = None
    if run.size is not None:
        jobs = make_jobs(
            options.models[:1], [first.engine], ["auto"], [run.size], [1], [], options.seconds
        )
        engine_fps = run_jobs(jobs, 1)[0].fps
    report.pipeline = replace(run, engine_fps=engine_fps).to_json()
