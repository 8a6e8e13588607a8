"""Configurations measured side by side: the first session of each, then the second of each, ..."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from cgt.runtime.engines import compatible_engines, read_model_metadata
from cgt.runtime.errors import CgtError, UsageError
from cgt.runtime.image.geometry import SizeSpec, plan_geometry
from cgt.runtime.models.metadata import ModelMetadata

from .results import Result
from .session import BenchmarkJob
from .worker import WORKER_COMMAND, run_session

NUM_SESSIONS = 8

ProgressFn = Callable[[str], None]


def tensor_size(metadata: ModelMetadata, size: SizeSpec) -> tuple[int, int]:
    """(height, width) of the tensor for a picture of `size`; None is the model's own.
    Raises UsageError."""
    wanted = size or metadata.size
    if wanted == "source":
        raise UsageError("--size source needs a source; write 256 or 256x512")
    return plan_geometry(wanted, metadata, wanted).tensor_size


def run_jobs(
    jobs: Sequence[BenchmarkJob],
    sessions: int = 0,
    on_progress: ProgressFn = lambda note: None,
    program: Sequence[str] = WORKER_COMMAND,
    failed: dict[BenchmarkJob, CgtError] | None = None,
) -> list[Result]:
    """A result for each job, in order. A job's `seconds` are those of each session.

    sessions: of each job; SESSIONS by default. tell: is given what runs next, before each session.
    failed: takes the errors of jobs that do not run; without it the first error is raised.
    """
    jobs = [_resolve_auto_engine(job, failed) for job in jobs]
    results: dict[BenchmarkJob, Result] = {}
    failures: dict[BenchmarkJob, CgtError] = {}
    for _ in range(sessions or NUM_SESSIONS):
        for job in jobs:
            on_progress(
                f"{job.model.name} {job.engine} {job.precision} {job.size[0]}x{job.size[1]}"
            )
            if job in failures:
                continue
            try:
                engine_info, session = run_session(job, program)
            except CgtError as error:
                if failed is None:
                    raise
                failures[job] = failed[job] = error
                continue
            if job not in results:
                results[job] = Result(
                    model=job.model.name,
                    engine=engine_info.engine,
                    device=engine_info.device,
                    precision=engine_info.precision,
                    file_precision=read_model_metadata(job.model).precision,
                    size=job.size,
                    batch=job.batch,
                    sessions=[],
                    requested_precision=job.precision,
                    workers=engine_info.workers,
                )
            results[job].sessions.append(session)
    return [results[job] for job in jobs if job in results]


def _resolve_auto_engine(
    job: BenchmarkJob, failed: dict[BenchmarkJob, CgtError] | None
) -> BenchmarkJob:
    """With the engine that "auto" chooses, which it does by measuring: no part of a cold start."""
    if job.engine != "auto":
        return job
    if len(names := compatible_engines(job.model)) == 1:
        return replace(job, engine=names[0])
    try:
        engine_info, _ = run_session(replace(job, seconds=0.0, streams=None))
    except CgtError:
        if failed is None:
            raise
        return job  # fails again, and is then taken down
    return replace(job, engine=engine_info.engine)


def make_jobs(
    models: Iterable[Path],
    engines: Iterable[str],
    precisions: Iterable[str],
    sizes: Iterable[SizeSpec],
    batches: Iterable[int],
    streams: Sequence[int],
    seconds: float,
) -> list[BenchmarkJob]:
    """Every combination, each once. seconds: of all SESSIONS together. Raises ModelError and
    UsageError."""
    jobs: list[BenchmarkJob] = []
    seconds_per_session = seconds / NUM_SESSIONS
    for model in models:
        metadata = read_model_metadata(model)
        for size in sizes:
            tensor = tensor_size(metadata, size)
            for engine in engines:
                for precision in precisions:
                    for batch in batches:
                        job = BenchmarkJob(
                            model,
                            tensor,
                            engine,
                            precision,
                            batch,
                            tuple(streams),
                            seconds_per_session,
                        )
                        if job not in jobs:
                            jobs.append(job)
    return jobs
