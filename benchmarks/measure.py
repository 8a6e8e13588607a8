"""Configurations measured side by side: the first session of each, then the second of each, ..."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from cgt.runtime.artifact import Artifact
from cgt.runtime.engines import candidates, read_model
from cgt.runtime.errors import CgtError, UsageError
from cgt.runtime.geometry import Size, plan

from .results import Result
from .session import Job
from .worker import PROGRAM, run_session

SESSIONS = 8

Told = Callable[[str], None]


def tensor_size(artifact: Artifact, size: Size) -> tuple[int, int]:
    """(height, width) of the tensor for a picture of `size`; None is the model's own.
    Raises UsageError."""
    wanted = size or artifact.size
    if wanted == "source":
        raise UsageError("--size source needs a source; write 256 or 256x512")
    return plan(wanted, artifact, wanted).tensor


def measure_all(
    jobs: Sequence[Job],
    sessions: int = 0,
    tell: Told = lambda note: None,
    program: Sequence[str] = PROGRAM,
    failed: dict[Job, CgtError] | None = None,
) -> list[Result]:
    """A result for each job, in order. A job's `seconds` are those of each session.

    sessions: of each job; SESSIONS by default. tell: is given what runs next, before each session.
    failed: takes the errors of jobs that do not run; without it the first error is raised.
    """
    jobs = [_settled(job, failed) for job in jobs]
    results: dict[Job, Result] = {}
    given_up: dict[Job, CgtError] = {}
    for _ in range(sessions or SESSIONS):
        for job in jobs:
            tell(f"{job.model.name} {job.engine} {job.precision} {job.size[0]}x{job.size[1]}")
            if job in given_up:
                continue
            try:
                opened, session = run_session(job, program)
            except CgtError as error:
                if failed is None:
                    raise
                given_up[job] = failed[job] = error
                continue
            if job not in results:
                results[job] = Result(
                    model=job.model.name,
                    engine=opened.engine,
                    device=opened.device,
                    precision=opened.precision,
                    graph=read_model(job.model).precision,
                    size=job.size,
                    batch=job.batch,
                    sessions=[],
                    asked=job.precision,
                    workers=opened.workers,
                )
            results[job].sessions.append(session)
    return [results[job] for job in jobs if job in results]


def _settled(job: Job, failed: dict[Job, CgtError] | None) -> Job:
    """With the engine that "auto" chooses, which it does by measuring: no part of a cold start."""
    if job.engine != "auto":
        return job
    if len(only := candidates(job.model)) == 1:
        return replace(job, engine=only[0])
    try:
        opened, _ = run_session(replace(job, seconds=0.0, streams=None))
    except CgtError:
        if failed is None:
            raise
        return job  # fails again, and is then taken down
    return replace(job, engine=opened.engine)


def jobs_for(
    models: Iterable[Path],
    engines: Iterable[str],
    precisions: Iterable[str],
    sizes: Iterable[Size],
    batches: Iterable[int],
    streams: Sequence[int],
    seconds: float,
) -> list[Job]:
    """Every combination, each once. seconds: of all SESSIONS together. Raises ModelError and
    UsageError."""
    jobs: list[Job] = []
    share = seconds / SESSIONS
    for model in models:
        artifact = read_model(model)
        for size in sizes:
            tensor = tensor_size(artifact, size)
            for engine in engines:
                for precision in precisions:
                    for batch in batches:
                        job = Job(model, tensor, engine, precision, batch, tuple(streams), share)
                        if job not in jobs:
                            jobs.append(job)
    return jobs
