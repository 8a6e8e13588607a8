"""Benchmark runner: interleaves the sessions of all configurations.

The first session of each configuration runs first, then the second of each, and so on. Slow phases
of the machine therefore affect all configurations alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from cgt.runtime.engines import compatible_engines, read_model_metadata
from cgt.runtime.errors import CgtError, UsageError
from cgt.runtime.image.geometry import SizeSpec, format_size, plan_geometry
from cgt.runtime.models.metadata import ModelMetadata
from cgt.runtime.models.third_party import ModelFormat

from .results import Result
from .session import BenchmarkJob
from .worker import WORKER_COMMAND, run_session

NUM_SESSIONS = 8

ProgressFn = Callable[[str], None]


def tensor_size(metadata: ModelMetadata, size: SizeSpec) -> tuple[int, int]:
    """Return (height, width) of the tensor for an image of `size`; None is the model's own size.

    Raises:
        UsageError: The size is "source", or the model does not take it.
    """
    wanted = size or metadata.size
    if wanted == "source":
        raise UsageError("--size source needs a source; write 256 or 512x256")
    return plan_geometry(wanted, metadata, wanted).tensor_size


def run_jobs(
    jobs: Sequence[BenchmarkJob],
    sessions: int = 0,
    on_progress: ProgressFn = lambda note: None,
    program: Sequence[str] = WORKER_COMMAND,
    failed: dict[BenchmarkJob, CgtError] | None = None,
) -> list[Result]:
    """Measure each job in several sessions, interleaved.

    Args:
        jobs: What to measure; a job's `seconds` apply to each session.
        sessions: Sessions of each job; 0 is NUM_SESSIONS.
        on_progress: Receives the configuration that runs next, before each session.
        program: Command line of the worker process.
        failed: Receives the errors of jobs that do not run. Without it, the first error is raised.

    Returns:
        One result for each job that runs, in order.
    """
    jobs = [_resolve_auto_engine(job, failed) for job in jobs]
    results: dict[BenchmarkJob, Result] = {}
    failures: dict[BenchmarkJob, CgtError] = {}
    for _ in range(sessions or NUM_SESSIONS):
        for job in jobs:
            on_progress(f"{job.model.name} {job.engine} {job.precision} {format_size(job.size)}")
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
                    file_precision=read_model_metadata(job.model, job.model_format).precision,
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
    """Replace "auto" with the engine that it selects; a cold start then includes no selection."""
    if job.engine != "auto":
        return job
    if len(names := compatible_engines(job.model)) == 1:
        return replace(job, engine=names[0])
    try:
        engine_info, _ = run_session(replace(job, seconds=0.0, streams=None))
    except CgtError:
        if failed is None:
            raise
        return job  # fails again in run_jobs, which records the error
    return replace(job, engine=engine_info.engine)


def make_jobs(
    models: Iterable[Path],
    engines: Iterable[str],
    precisions: Iterable[str],
    sizes: Iterable[SizeSpec],
    batches: Iterable[int],
    streams: Sequence[int],
    seconds: float,
    model_format: ModelFormat | None = None,
) -> list[BenchmarkJob]:
    """Return every combination of the arguments once.

    Args:
        models: Model files.
        engines: Engine names.
        precisions: "auto" or precisions.
        sizes: (height, width), or None for the model's own size.
        batches: Images per run.
        streams: Calls in flight for the throughput; empty for the engine's recommendation.
        seconds: Duration of each measurement, all NUM_SESSIONS sessions together.
        model_format: What the user says about models of another tool.

    Raises:
        ModelError: A model cannot be read.
        UsageError: A model does not take a size, or `model_format` contradicts it.
    """
    jobs: list[BenchmarkJob] = []
    seconds_per_session = seconds / NUM_SESSIONS
    for model in models:
        metadata = read_model_metadata(model, model_format)
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
                            model_format,
                        )
                        if job not in jobs:
                            jobs.append(job)
    return jobs
