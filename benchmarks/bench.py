"""What `cgt bench` does: measure, find limits and doubts, and put it all into one report."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from cgt.runtime.errors import CgtError, QualityError
from cgt.runtime.geometry import Size
from cgt.runtime.progress import progress_bar

from .doubts import warn
from .endtoend import measure_pipeline
from .limits import attach_limits
from .machine import conditions, describe_machine
from .matrix import MIN_PSNR, measure_matrix
from .measure import SESSIONS, jobs_for, measure_all
from .results import Report


@dataclass(frozen=True)
class Options:
    """One `cgt bench`, as its flags say it. models: of one network where `matrix`."""

    models: Sequence[Path]
    engines: Sequence[str] = ("auto",)
    precisions: Sequence[str] = ("auto",)
    sizes: Sequence[Size] = (None,)
    batches: Sequence[int] = (1,)
    streams: Sequence[int] = ()
    seconds: float = 3.0
    source: str | None = None
    matrix: bool = False
    min_psnr: float | None = None


def run_bench(options: Options) -> Report:
    """Raises the errors of models and engines. The floor of `min_psnr` is enforced by `enforce`,
    so that the report can be written before."""
    report = Report(
        command=["cgt", *sys.argv[1:]],
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        machine=describe_machine(),
        before=conditions(),
    )
    notes: list[str] = []
    if options.matrix:
        notes += _measure_matrix(report, options)
    else:
        _measure(report, options)
    if options.source and not options.matrix:
        _measure_pipeline(report, options)
    report.after = conditions()
    report.peaks, missing = attach_limits(report.results, {p.name: p for p in options.models})
    report.warnings = warn(report) + missing + notes
    return report


def enforce(report: Report, min_psnr: float | None) -> None:
    """Raises QualityError where a floor was asked for and nothing reaches it, or nothing that was
    asked for does in one of the sizes."""
    if min_psnr is None or report.matrix is None:
        return
    rows = [row for row in report.matrix["rows"] if row["status"] == "ok"]
    if not any(row["best"] for row in rows):
        raise QualityError(f"nothing that runs here reaches the floor of {min_psnr:g} dB")


def _measure(report: Report, options: Options) -> None:
    jobs = jobs_for(
        options.models,
        options.engines,
        options.precisions,
        options.sizes,
        options.batches,
        options.streams,
        options.seconds,
    )
    with progress_bar("measuring", len(jobs) * SESSIONS, unit="session") as bar:

        def tell(what: str) -> None:
            bar.note(what)
            bar.advance()

        report.results = measure_all(jobs, tell=tell)
    for result in report.results:
        if result.asked not in ("auto", result.precision, result.graph):
            raise CgtError(
                f"{result.engine} computes {result.model} in {result.precision}, "
                f"not in {result.asked}; export it with --{result.asked} or leave --precision out"
            )


def _measure_matrix(report: Report, options: Options) -> list[str]:
    with progress_bar("measuring", None, unit="session") as bar:

        def tell(what: str) -> None:
            bar.note(what)
            bar.advance()

        matrix, report.results = measure_matrix(
            options.models,
            options.sizes,
            options.engines,
            options.precisions,
            MIN_PSNR if options.min_psnr is None else options.min_psnr,
            options.seconds,
            options.source,
            tell,
        )
    report.matrix = matrix.to_json()
    return matrix.missing


def _measure_pipeline(report: Report, options: Options) -> None:
    assert options.source is not None
    first = report.results[0]
    run = measure_pipeline(
        options.source, options.models[0], first.engine, options.sizes[0], options.seconds
    )
    # The engine alone is measured at the size that the pipeline chose for this source.
    alone = None
    if run.size is not None:
        jobs = jobs_for(
            options.models[:1], [first.engine], ["auto"], [run.size], [1], [], options.seconds
        )
        alone = measure_all(jobs, 1)[0].fps
    report.pipeline = replace(run, alone=alone).to_json()
