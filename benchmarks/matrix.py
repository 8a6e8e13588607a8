"""Every engine, precision and size that this machine can run of one network, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cgt.runtime.engines import candidates, read_model
from cgt.runtime.errors import CgtError, MissingDependency, UsageError
from cgt.runtime.geometry import Size
from cgt.runtime.preprocess import F32

from .measure import Told, measure_all, tensor_size
from .quality import pictures, psnr, reference_of, translate_all
from .results import Result
from .session import Job
from .variants import reference

SESSIONS = 3
MIN_PSNR = 30.0  # dB; below it a precision changes the picture visibly


@dataclass
class Row:
    """One line. psnr: dB against fp32, None where there are no pictures to compare on."""

    label: str
    file: str
    graph: str  # precision of the file
    engine: str
    asked: str
    size: tuple[int, int]
    status: str  # "ok", or why it does not run
    precision: str = ""  # in which the engine says it computes
    p50: float = float("inf")  # milliseconds
    p99: float = float("inf")
    fps: float = 0.0
    psnr: float | None = None
    best: bool = False  # the fastest of those that are good enough


@dataclass
class Matrix:
    """Sorted: what runs by latency, then what does not."""

    rows: list[Row]
    min_psnr: float
    reference: str  # what fp32 is here
    missing: list[str]  # engines that are not installed, and how to

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure_matrix(
    models: Sequence[Path],
    sizes: Sequence[Size],
    engines: Sequence[str] = ("auto",),
    precisions: Sequence[str] = ("auto",),
    min_psnr: float = MIN_PSNR,
    seconds: float = 3.0,
    source: str | None = None,
    tell: Told = lambda note: None,
) -> tuple[Matrix, list[Result]]:
    """models: files of one network. engines, precisions: "auto" is all. source: pictures to compare
    on, see `quality.pictures`. Raises what reading the models raises; what does not run is a row.
    """
    every = tuple(engines) == ("auto",)
    wanted = () if tuple(precisions) == ("auto",) else precisions
    jobs = [
        Job(
            model,
            tensor_size(read_model(model), size),
            engine,
            asked,
            seconds=seconds / SESSIONS,
        )
        for size in sizes
        for model in models
        for engine in (candidates(model) if every else engines)
        for asked in ("auto", "fp32")
    ]
    failed: dict[Job, CgtError] = {}
    tried = measure_all(jobs, 1, tell, failed=failed)
    missing = sorted(
        {str(error) for error in failed.values() if isinstance(error, MissingDependency)}
    )
    rows = [
        _row(job, None, str(error))
        for job, error in failed.items()
        if not isinstance(error, MissingDependency | UsageError)  # not an engine for that file
    ]
    # Keeping an engine in fp32 is another row only where it would compute in something else.
    pairs = _distinct([job for job in jobs if job not in failed], tried)
    pairs = [(job, r) for job, r in pairs if not wanted or {r.precision, r.graph} & set(wanted)]
    more = measure_all([job for job, _ in pairs], SESSIONS - 1, tell, failed=failed)
    for (job, result), again in zip(pairs, more, strict=True):
        result.sessions += again.sessions
        rows.append(_row(job, result, "ok"))
    base = reference(models)
    notes = _compare_with(base, pairs, rows[len(rows) - len(pairs) :], source)
    rows.sort(key=lambda row: (row.status != "ok", row.size, row.p50))
    good = [r for r in rows if r.status == "ok" and r.psnr is not None and r.psnr >= min_psnr]
    for size in {row.size for row in good}:
        min((row for row in good if row.size == size), key=lambda row: row.p50).best = True
    return (
        Matrix(rows, min_psnr, f"{base.name} in fp32", missing + notes),
        [result for _, result in pairs],
    )


def _distinct(jobs: list[Job], results: list[Result]) -> list[tuple[Job, Result]]:
    seen: set[tuple[Any, ...]] = set()
    kept = []
    for job, result in zip(jobs, results, strict=True):
        what = (job.model, job.size, result.engine, result.device, result.precision)
        if what not in seen:
            seen.add(what)
            kept.append((job, result))
    return kept


def _row(job: Job, result: Result | None, status: str) -> Row:
    graph = read_model(job.model).precision
    precision = result.precision if result else ""
    label = f"{job.engine} {graph}" + (f", in {precision}" if precision not in ("", graph) else "")
    row = Row(label, job.model.name, graph, job.engine, job.precision, job.size, status, precision)
    if result:
        row.p50, row.p99, row.fps = result.percentile(50), result.percentile(99), result.fps
    return row


def _compare_with(
    base: Path, pairs: Sequence[tuple[Job, Result]], rows: Sequence[Row], source: str | None
) -> list[str]:
    """Fill in PSNRs; what there is to say where that is not possible."""
    references: dict[tuple[int, int], tuple[F32, F32]] = {}
    for (job, result), row in zip(pairs, rows, strict=True):
        try:
            if job.size not in references:
                images = pictures(source, job)
                references[job.size] = images, reference_of(base, job, images)
            images, truth = references[job.size]
            row.psnr = psnr(translate_all(job, images), truth)
        except CgtError as error:
            return [f"no PSNR: {error}"]
        result.psnr = row.psnr
    return []
