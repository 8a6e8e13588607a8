"""Scheduler of a batch: assigns tasks to workers, joins segments, retries failures."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..api import TranslateOptions
from ..errors import SinkError
from ..utils.log import warn_user
from .manifest import JobManifest
from .pool import Pool
from .segment_file import read_pts
from .tasks import ConcatSegments, Task
from .video_job import VideoJob
from .worker import TaskResult

MAX_ATTEMPTS = 3
"""Attempts at a task before its video counts as failed."""
_POLL_INTERVAL_S = 0.5  # between updates of the progress


@dataclass
class _InFlight:
    """A submitted task without a result yet."""

    job: VideoJob
    task: Task
    heartbeat_file: Path
    attempt: int = 1


class BatchScheduler:
    """Runs the tasks of all videos of a batch.

    Args:
        jobs: videos as `plan_video` returns them; the scheduler updates their status.
        options: what to do with each video.
        pool: workers.
        manifest: receives the finished videos.
    """

    def __init__(
        self, jobs: list[VideoJob], options: TranslateOptions, pool: Pool, manifest: JobManifest
    ) -> None:
        self._jobs, self._options, self._pool, self._manifest = jobs, options, pool, manifest
        self._in_flight: dict[int, _InFlight] = {}
        self._task_ids = itertools.count()
        self._frames_done: dict[Path, int] = {}  # by the output of a finished task
        self.retries = 0

    def run(self, stop: threading.Event, on_progress: Callable[[int], None]) -> None:
        """Run until all videos are finished or have failed, or `stop` is set.

        Args:
            stop: ends the run early.
            on_progress: is called with the number of translated frames of all videos.
        """
        for job in self._jobs:
            if not job.skipped and not job.error:
                self._start_job(job)
        while self._in_flight and not stop.is_set():
            for task_id, result in self._pool.wait(_POLL_INTERVAL_S):
                in_flight = self._in_flight.pop(task_id, None)
                if in_flight is not None:
                    self._handle_result(in_flight, result)
            on_progress(
                sum(self._frames_done.values()) + sum(map(_progress_of, self._in_flight.values()))
            )

    def _start_job(self, job: VideoJob) -> None:
        tasks = job.initial_tasks(self._options)
        for segment_file in job.segment_files:
            if segment_file.exists():  # from an earlier run
                self._frames_done[segment_file] = len(read_pts(segment_file))
        for task in tasks or [job.concat_task(self._options)]:
            self._submit(job, task)

    def _submit(self, job: VideoJob, task: Task, attempt: int = 1) -> None:
        task_id = next(self._task_ids)
        heartbeat_file = job.work_dir / f"{task_id}.beat"
        self._in_flight[task_id] = _InFlight(job, task, heartbeat_file, attempt)
        job.attempts = max(job.attempts, attempt)
        urgent = attempt > 1 or isinstance(task, ConcatSegments)
        self._pool.submit(task_id, task, heartbeat_file, urgent)

    def _handle_result(self, in_flight: _InFlight, result: TaskResult) -> None:
        job, task = in_flight.job, in_flight.task
        job.worker_seconds += result.seconds
        if result.status == "done":
            job.warnings += [text for text in result.warnings if text not in job.warnings]
            self._frames_done[task.output] = result.frames
            self._advance_job(job, task)
        elif result.status == "not_splittable":
            warn_user(f"{job.source} is not split into segments: {result.error}")
            self._cancel_tasks(job)
            job.boundaries = ()
            self._start_job(job)
        elif result.status == "failed" and in_flight.attempt < MAX_ATTEMPTS:
            warn_user(f"{job.source}: {result.error}; retrying")
            self.retries += 1
            self._submit(job, task, in_flight.attempt + 1)
        else:
            self._fail_job(job, result.error)

    def _advance_job(self, job: VideoJob, task: Task) -> None:
        if job.boundaries and not isinstance(task, ConcatSegments):
            if not any(in_flight.job is job for in_flight in self._in_flight.values()):
                self._submit(job, job.concat_task(self._options))
            return
        try:
            self._manifest.commit(task.output, job.target, job.key)
        except SinkError as error:
            self._fail_job(job, str(error))
            return
        job.done = True
        job.frame_count = sum(
            self._frames_done.get(path, 0) for path in (*job.segment_files, task.output)
        )
        for text in job.warnings:
            warn_user(text)

    def _fail_job(self, job: VideoJob, why: str) -> None:
        job.error = why
        self._cancel_tasks(job)
        self._manifest.remove(job.key)

    def _cancel_tasks(self, job: VideoJob) -> None:
        for task_id in [i for i, in_flight in self._in_flight.items() if in_flight.job is job]:
            del self._in_flight[task_id]
            self._pool.cancel(task_id)
        for path in job.segment_files:
            self._frames_done.pop(path, None)


def _progress_of(in_flight: _InFlight) -> int:
    """Return the frames that the worker has reported so far."""
    with contextlib.suppress(OSError, ValueError):
        return int(in_flight.heartbeat_file.read_text())
    return 0
