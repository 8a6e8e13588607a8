"""Precision matrix: every engine, precision and size that this machine can run of one network.

The models of a matrix are files of one network in several precisions.
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
from cgt.runtime.image.geometry import SizeSpec, format_size
from cgt.runtime.image.preprocess import F32
from cgt.runtime.models.checkpoint_options import NO_OPTIONS, CheckpointOptions
from cgt.runtime.models.metadata import Direction, ModelMetadata
from cgt.runtime.models.third_party import ModelFormat
from cgt.runtime.utils.cache import cache_dir, cached_sha256, short_hash

from ..harness.results import Result
from ..harness.runner import ProgressFn, run_jobs, tensor_size
from ..harness.session import BenchmarkJob
from .quality import load_images, psnr, translate_all, translate_fp32

MODEL_SUFFIXES = (".onnx", ".engine", ".plan")
EXPORTED_PRECISIONS = ("fp32", "fp16", "bf16", "int8")
NUM_MATRIX_SESSIONS = 3
MIN_PSNR_DB = 30.0  # below it a precision changes the image visibly


def find_sibling_models(model: Path, model_format: ModelFormat | None = None) -> list[Path]:
    """Return the model and the files next to it whose metadata gives the same checkpoint.

    Args:
        model: Model file.
        model_format: What the user says about it, if another tool exported it.

    Returns:
        `model` first, then the same network in other precisions or with other tensor types.

    Raises:
        ModelError: `model` cannot be read. Other unreadable files are skipped.
    """
    metadata = read_model_metadata(model, model_format)
    models = [model]
    if not metadata.checkpoint_sha256:
        return models
    for path in sorted(model.parent.iterdir()):
        if path.suffix not in MODEL_SUFFIXES or path.samefile(model):
            continue
        try:
            if _network_id(read_model_metadata(path)) == _network_id(metadata):
                models.append(path)
        except ModelError:
            continue  # not a model of cgt
    return models


def _network_id(metadata: ModelMetadata) -> tuple[str, str]:
    return metadata.checkpoint_sha256, metadata.direction


def export_all_precisions(
    checkpoint: Path,
    direction: Direction | None = None,
    calib: Path | None = None,
    log: Callable[[str], None] = lambda note: None,
    checkpoint_options: CheckpointOptions = NO_OPTIONS,
) -> list[Path]:
    """Export a checkpoint's generator in every precision of EXPORTED_PRECISIONS to a cache folder.

    The export has no quality floor: the matrix shows the quality.

    Args:
        checkpoint: File to export. Needs torch.
        direction: As in `cgt.export.export`.
        calib: Calibration images or video for int8, as in `cgt.export.export`.
        log: Receives the reason why a precision is missing.
        checkpoint_options: What the user states about a checkpoint of another trainer.

    Raises:
        CheckpointError: The checkpoint is missing or cannot be read.
        SinkError: There is no cache folder.
        ModelError: No precision can be exported.
    """
    from cgt.export import export
    from cgt.trainer.pretrained import open_generator

    if not checkpoint.is_file():
        raise CheckpointError(f"{checkpoint} is missing")
    identity: tuple[Any, ...] = (cached_sha256(checkpoint), direction, calib)
    if checkpoint_options.given:
        identity = (*identity, checkpoint_options.flags)
    generator = None
    if checkpoint_options.code is not None:  # executed once, and cached by what it is
        generator = open_generator(checkpoint, direction, options=checkpoint_options)
        identity = (*identity, generator.code_id)
    folder = cache_dir("bench", short_hash(*identity))
    if folder is None:
        raise SinkError("there is no cache folder to export to; set XDG_CACHE_HOME to one")
    paths, calibration = [], str(calib) if calib else None
    for precision in EXPORTED_PRECISIONS:
        path = folder / f"{checkpoint.stem}_{precision}.onnx"
        try:
            # What their code imports may have changed.
            if generator is not None or not path.exists():
                options: dict[str, Any] = {"calib": calibration} if precision == "int8" else {}
                export(
                    generator or checkpoint,
                    path,
                    direction=direction,
                    precision=precision,
                    min_psnr=0.0,
                    checkpoint_options=checkpoint_options,
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


def reference_model(models: Sequence[Path], model_format: ModelFormat | None = None) -> Path:
    """Return the file to compare the others with: the first in fp32, else the first."""
    precisions = [(read_model_metadata(path, model_format).precision, path) for path in models]
    return next((path for precision, path in precisions if precision == "fp32"), models[0])


@dataclass
class MatrixRow:
    """One engine, file and precision at one size."""

    label: str
    file: str
    file_precision: str  # as the model's metadata gives it
    engine: str
    requested_precision: str
    size: tuple[int, int]  # (height, width)
    status: str  # "ok", or the error message
    precision: str = ""  # as the engine reports it
    p50: float = float("inf")  # milliseconds
    p99: float = float("inf")
    fps: float = 0.0
    psnr_db: float | None = None  # against fp32; None without images to compare on
    best: bool = False  # the fastest of its size with at least min_psnr


@dataclass
class BenchmarkMatrix:
    """Rows sorted by size and latency; those that failed come last."""

    rows: list[MatrixRow]
    min_psnr: float  # dB
    reference: str  # the file and precision that PSNR compares with
    missing: list[str]  # engines that are not installed, and how to install them

    def to_json(self) -> dict[str, Any]:
        """Return JSON types; sizes are "WIDTHxHEIGHT"."""
        rows = [asdict(row) | {"size": format_size(row.size)} for row in self.rows]
        return asdict(self) | {"rows": rows}


def measure_matrix(
    models: Sequence[Path],
    sizes: Sequence[SizeSpec],
    engines: Sequence[str] = ("auto",),
    precisions: Sequence[str] = ("auto",),
    min_psnr: float = MIN_PSNR_DB,
    seconds: float = 3.0,
    source: str | None = None,
    on_progress: ProgressFn = lambda note: None,
    model_format: ModelFormat | None = None,
) -> tuple[BenchmarkMatrix, list[Result]]:
    """Measure each model on each engine, with and without reduced precision.

    Args:
        models: Files of one network.
        sizes: (height, width), or None for the model's own size.
        engines: Engine names; "auto" is every engine that reads the file.
        precisions: Precisions to keep; "auto" is all.
        min_psnr: PSNR in dB that the best row must reach.
        seconds: Duration of each measurement, all sessions together.
        source: URI of frames to compute the PSNR on, see `quality.load_images`.
        on_progress: Receives the configuration that runs next.
        model_format: What the user says about models of another tool.

    Returns:
        The matrix, and the results behind its rows. A configuration that does not run is a row.

    Raises:
        ModelError: A model cannot be read.
    """
    all_engines = tuple(engines) == ("auto",)
    wanted = () if tuple(precisions) == ("auto",) else precisions
    jobs = [
        BenchmarkJob(
            model,
            tensor_size(read_model_metadata(model, model_format), size),
            engine,
            requested_precision,
            seconds=seconds / NUM_MATRIX_SESSIONS,
            model_format=model_format,
        )
        for size in sizes
        for model in models
        for engine in (compatible_engines(model) if all_engines else engines)
        for requested_precision in ("auto", "fp32")
    ]
    failed: dict[BenchmarkJob, CgtError] = {}
    first_results = run_jobs(jobs, 1, on_progress, failed=failed)
    missing = sorted(
        {str(error) for error in failed.values() if isinstance(error, MissingDependency)}
    )
    rows = [
        _make_row(job, None, str(error))
        for job, error in failed.items()
        if not isinstance(
            error, MissingDependency | UsageError
        )  # the engine does not read this file
    ]
    # Forcing fp32 adds a row only if the engine computes in another precision by default.
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
    base = reference_model(models, model_format)
    notes = _fill_in_psnr(base, pairs, rows[len(rows) - len(pairs) :], source)
    rows.sort(key=lambda row: (row.status != "ok", row.size, row.p50))
    good = [r for r in rows if r.status == "ok" and r.psnr_db is not None and r.psnr_db >= min_psnr]
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
    file_precision = read_model_metadata(job.model, job.model_format).precision
    precision = result.precision if result else ""
    label = f"{job.engine} {file_precision}"
    if precision not in ("", file_precision):
        label += f", in {precision}"
    row = MatrixRow(
        label=label,
        file=job.model.name,
        file_precision=file_precision,
        engine=job.engine,
        requested_precision=job.precision,
        size=job.size,
        status=status,
        precision=precision,
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
    """Set the PSNR of rows and results; return a message if that is impossible."""
    references: dict[tuple[int, int], tuple[F32, F32]] = {}
    for (job, result), row in zip(pairs, rows, strict=True):
        try:
            if job.size not in references:
                images = load_images(source, job)
                references[job.size] = images, translate_fp32(base, job, images)
            images, expected = references[job.size]
            row.psnr_db = psnr(translate_all(job, images), expected)
        except CgtError as error:
            return [f"no PSNR: {error}"]
        result.psnr_db = row.psnr_db
    return []
