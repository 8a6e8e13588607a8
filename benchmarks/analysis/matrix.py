"""Every engine, precision and size that this machine can run of one network, side by side.

The files a matrix is made of: one network in several precisions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cgt.runtime.engines import compatible_engines, read_model_metadata
from cgt.runtime.errors import (
    CgtError,
    CheckpointError,
    MissingDependency,
    ModelError,
    SinkError,
    UsageError,
)
from cgt.runtime.image.geometry import SizeSpec
from cgt.runtime.image.preprocess import F32
from cgt.runtime.models.metadata import Direction, ModelMetadata
from cgt.runtime.utils.cache import cache_dir, cached_sha256, short_hash

from ..harness.results import Result
from ..harness.runner import ProgressFn, run_jobs, tensor_size
from ..harness.session import BenchmarkJob
from .quality import load_images, psnr, translate_all, translate_fp32

MODEL_SUFFIXES = (".onnx", ".engine", ".plan")
EXPORTED_PRECISIONS = ("fp32", "fp16", "bf16", "int8")


def find_sibling_models(model: Path) -> list[Path]:
    """The model and the files beside it that say they hold the same network of the same
    checkpoint, in other precisions or with other tensors. Raises ModelError for `model` alone."""
    metadata = read_model_metadata(model)
    found = [model]
    if not metadata.checkpoint_sha256:
        return found
    for path in sorted(model.parent.iterdir()):
        if path.suffix not in MODEL_SUFFIXES or path.samefile(model):
            continue
        try:
            if _network_id(read_model_metadata(path)) == _network_id(metadata):
                found.append(path)
        except ModelError:
            continue  # somebody else's file
    return found


def _network_id(metadata: ModelMetadata) -> tuple[str, str]:
    return metadata.checkpoint_sha256, metadata.direction


def export_all_precisions(
    checkpoint: Path,
    direction: Direction | None = None,
    calib: Path | None = None,
    log: Callable[[str], None] = lambda note: None,
) -> list[Path]:
    """A checkpoint's generator in every precision of PRECISIONS, from a cache folder. No floor of
    quality: the matrix shows it. direction, calib: as in `cgt.export.export`; tell: is given why a
    precision is missing. Needs torch; raises CheckpointError, SinkError and ModelError."""
    from cgt.export import export

    if not checkpoint.is_file():
        raise CheckpointError(f"{checkpoint} is missing")
    folder = cache_dir("bench", short_hash(cached_sha256(checkpoint), direction, calib))
    if folder is None:
        raise SinkError("there is no cache folder to export to; set XDG_CACHE_HOME to one")
    paths, calibration = [], str(calib) if calib else None
    for precision in EXPORTED_PRECISIONS:
        path = folder / f"{checkpoint.stem}_{precision}.onnx"
        try:
            if not path.exists():
                options: dict[str, Any] = {"calib": calibration} if precision == "int8" else {}
                export(
                    checkpoint,
                    path,
                    direction=direction,
                    precision=precision,
                    min_psnr=0.0,
                    **options,
                )
        except CheckpointError:
            raise
        except CgtError as error:
            log(f"no {precision}: {error}")
            continue
        paths.append(path)
    if not paths:
        raise ModelError(f"{checkpoint} could not be exported in any precision")
    return paths


def reference_model(models: Sequence[Path]) -> Path:
    """The file to compare the others with: the first in fp32, else the first."""
    return next(
        (path for path in models if read_model_metadata(path).precision == "fp32"), models[0]
    )


NUM_MATRIX_SESSIONS = 3
MIN_PSNR_DB = 30.0  # dB; below it a precision changes the picture visibly


@dataclass
class MatrixRow:
    """One line. psnr: dB against fp32, None where there are no pictures to compare on."""

    label: str
    file: str
    file_precision: str  # precision of the file
    engine: str
    requested_precision: str
    size: tuple[int, int]
    status: str  # "ok", or why it does not run
    precision: str = ""  # in which the engine says it computes
    p50: float = float("inf")  # milliseconds
    p99: float = float("inf")
    fps: float = 0.0
    psnr: float | None = None
    best: bool = False  # the fastest of those that are good enough


@dataclass
class BenchmarkMatrix:
    """Sorted: what runs by latency, then what does not."""

    rows: list[MatrixRow]
    min_psnr: float
    reference: str  # what fp32 is here
    missing: list[str]  # engines that are not installed, and how to

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure_matrix(
    models: Sequence[Path],
    sizes: Sequence[SizeSpec],
    engines: Sequence[str] = ("auto",),
    precisions: Sequence[str] = ("auto",),
    min_psnr: float = MIN_PSNR_DB,
    seconds: float = 3.0,
    source: str | None = None,
    on_progress: ProgressFn = lambda note: None,
) -> tuple[BenchmarkMatrix, list[Result]]:
    """models: files of one network. engines, precisions: "auto" is all. source: pictures to compare
    on, see `quality.pictures`. Raises what reading the models raises; what does not run is a row.
    """
    all_engines = tuple(engines) == ("auto",)
    wanted = () if tuple(precisions) == ("auto",) else precisions
    jobs = [
        BenchmarkJob(
            model,
            tensor_size(read_model_metadata(model), size),
            engine,
            asked,
            seconds=seconds / NUM_MATRIX_SESSIONS,
        )
        for size in sizes
        for model in models
        for engine in (compatible_engines(model) if all_engines else engines)
        for asked in ("auto", "fp32")
    ]
    failed: dict[BenchmarkJob, CgtError] = {}
    first_results = run_jobs(jobs, 1, on_progress, failed=failed)
    missing = sorted(
        {str(error) for error in failed.values() if isinstance(error, MissingDependency)}
    )
    rows = [
        _make_row(job, None, str(error))
        for job, error in failed.items()
        if not isinstance(error, MissingDependency | UsageError)  # not an engine for that file
    ]
    # Keeping an engine in fp32 is another row only where it would compute in something else.
    pairs = _drop_duplicates([job for job in jobs if job not in failed], first_results)
    pairs = [
        (job, r) for job, r in pairs if not wanted or {r.precision, r.file_precision} & set(wanted)
    ]
    later_results = run_jobs(
        [job for job, _ in pairs], NUM_MATRIX_SESSIONS - 1, on_progress, failed=failed
    )
    for (job, result), again in zip(pairs, later_results, strict=True):
        result.sessions += again.sessions
        rows.append(_make_row(job, result, "ok"))
    base = reference_model(models)
    notes = _fill_in_psnr(base, pairs, rows[len(rows) - len(pairs) :], source)
    rows.sort(key=lambda row: (row.status != "ok", row.size, row.p50))
    good = [r for r in rows if r.status == "ok" and r.psnr is not None and r.psnr >= min_psnr]
    for size in {row.size for row in good}:
        min((row for row in good if row.size == size), key=lambda row: row.p50).best = True
    return (
        BenchmarkMatrix(rows, min_psnr, f"{base.name} in fp32", missing + notes),
        [result for _, result in pairs],
    )


def _drop_duplicates(
    jobs: list[BenchmarkJob], results: list[Result]
) -> list[tuple[BenchmarkJob, Result]]:
    seen: set[tuple[Any, ...]] = set()
    kept = []
    for job, result in zip(jobs, results, strict=True):
        identity = (job.model, job.size, result.engine, result.device, result.precision)
        if identity not in seen:
            seen.add(identity)
            kept.append((job, result))
    return kept


def _make_row(job: BenchmarkJob, result: Result | None, status: str) -> MatrixRow:
    graph = read_model_metadata(job.model).precision
    precision = result.precision if result else ""
    label = f"{job.engine} {graph}" + (f", in {precision}" if precision not in ("", graph) else "")
    row = MatrixRow(
        label, job.model.name, graph, job.engine, job.precision, job.size, status, precision
    )
    if result:
        row.p50, row.p99, row.fps = result.percentile(50), result.percentile(99), result.fps
    return row


def _fill_in_psnr(
    base: Path,
    pairs: Sequence[tuple[BenchmarkJob, Result]],
    rows: Sequence[MatrixRow],
    source: str | None,
) -> list[str]:
    """Fill in PSNRs; what there is to say where that is not possible."""
    references: dict[tuple[int, int], tuple[F32, F32]] = {}
    for (job, result), row in zip(pairs, rows, strict=True):
        try:
            if job.size not in references:
                images = load_images(source, job)
                references[job.size] = images, translate_fp32(base, job, images)
            images, expected = references[job.size]
            row.psnr = psnr(translate_all(job, images), expected)
        except CgtError as error:
            return [f"no PSNR: {error}"]
        result.psnr = row.psnr
    return []
