"""`cgt bench`: one report with measurements, roofline bounds and measurement warnings."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from cgt.runtime.errors import CgtError, QualityError
from cgt.runtime.image.geometry import SizeSpec
from cgt.runtime.models.third_party import ModelFormat
from cgt.runtime.sources import open_source
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
    """Options of one `cgt bench`.

    Attributes:
        models: Model files; with `matrix`, files of one network.
        engines: Engine names; "auto" is the fastest, with `matrix` every engine.
        precisions: "auto" or precisions that the engine must compute in.
        sizes: (height, width), or None for the model's own size.
        batches: Images per run.
        streams: Calls in flight; empty for the engine's recommendation.
        seconds: Duration of each measurement.
        source: URI to translate end to end; with `matrix`, frames to compute the PSNR on.
        matrix: Compare every engine and precision that runs here.
        min_psnr: PSNR in dB that the best row of the matrix must reach.
        model_format: What the user says about models of another tool.
    """

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
    model_format: ModelFormat | None = None


def run_bench(options: BenchOptions) -> BenchReport:
    """Measure and return the report.

    The floor `min_psnr` is checked by `enforce_min_psnr`, after the report has been written.

    Raises:
        CgtError: A model cannot be read, or an engine cannot run it.
    """
    if options.source and not options.matrix:
        open_source(options.source).close()  # raises now instead of after the measurements
    report = BenchReport(
        command=["cgt", *sys.argv[1:]],
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        machine=describe_machine(),
        before=current_conditions(),
    )
    missing: list[str] = []
    if options.matrix:
        missing = _run_matrix(report, options)
    else:
        _run_jobs(report, options)
    if options.source and not options.matrix:
        _run_end_to_end(report, options)
    report.after = current_conditions()
    report.peaks, messages = attach_roofline_bounds(
        report.results, {path.name: path for path in options.models}
    )
    report.warnings = collect_warnings(report) + messages + missing
    return report


def enforce_min_psnr(report: BenchReport, min_psnr: float | None) -> None:
    """Raise QualityError if a floor was given and no row of the matrix reaches it."""
    if min_psnr is None or report.matrix is None:
        return
    rows = [row for row in report.matrix["rows"] if row["status"] == "ok"]
    if not any(row["best"] for row in rows):
        raise QualityError(f"no engine that runs here reaches --min-psnr {min_psnr:g} dB")


def _run_jobs(report: BenchReport, options: BenchOptions) -> None:
    jobs = make_jobs(
        options.models,
        options.engines,
        options.precisions,
        options.sizes,
        options.batches,
        options.streams,
        options.seconds,
        options.model_format,
    )
    with progress_bar("measuring", len(jobs) * NUM_SESSIONS, unit="session") as bar:

        def show_progress(job: str) -> None:
            bar.set_postfix(job)
            bar.advance()

        report.results = run_jobs(jobs, on_progress=show_progress)
    for result in report.results:
        if result.requested_precision not in ("auto", result.precision, result.file_precision):
            raise CgtError(
                f"{result.engine} computes {result.model} in {result.precision}, not in "
                f"{result.requested_precision}; export it with --{result.requested_precision} "
                "or omit --precision"
            )


def _run_matrix(report: BenchReport, options: BenchOptions) -> list[str]:
    with progress_bar("measuring", None, unit="session") as bar:

        def show_progress(job: str) -> None:
            bar.set_postfix(job)
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
            options.model_format,
        )
    report.matrix = matrix.to_json()
    return matrix.missing


def _run_end_to_end(report: BenchReport, options: BenchOptions) -> None:
    assert options.source is not None
    first = report.results[0]
    run = measure_end_to_end(
        options.source,
        options.models[0],
        first.engine,
        options.sizes[0],
        options.seconds,
        options.model_format,
    )
    # Measure the engine alone at the size that the pipeline chose for this source.
    engine_fps = None
    if run.size is not None:
        jobs = make_jobs(
            options.models[:1],
            [first.engine],
            ["auto"],
            [run.size],
            [1],
            [],
            options.seconds,
            options.model_format,
        )
        engine_fps = run_jobs(jobs, 1)[0].fps
    report.pipeline = replace(run, engine_fps=engine_fps).to_json()
