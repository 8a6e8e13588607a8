"""Worker of a batch: runs tasks one after the other on its own CPU cores."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..api import TranslateOptions
from ..errors import CgtError, SourceError, UsageError
from ..inference.translator import Translator
from ..sources import Source
from ..utils.malloc import limit_malloc_arenas
from .tasks import NotSplittable, Task

TaskStatus = Literal["done", "invalid", "not_splittable", "failed"]
"""`invalid`: the video or the request is wrong, a retry is useless. `failed`: a retry may succeed.
`not_splittable`: the video has to be translated in one task."""

_HEARTBEAT_INTERVAL_S = 0.5  # between reports of the progress


@dataclass(frozen=True)
class TaskResult:
    """The result of a task.

    Attributes:
        status: how it ended.
        frames: number of translated frames.
        seconds: duration.
        error: one line, unless the status is "done".
        warnings: messages for the user.
        worker: HOST:PID of the worker.
    """

    status: TaskStatus
    frames: int = 0
    seconds: float = 0.0
    error: str = ""
    warnings: tuple[str, ...] = ()
    worker: str = ""


class Worker:
    """Runs tasks and reuses the loaded network where the next task needs the same.

    Create it in a process of its own, before engines are loaded.

    Args:
        cpus: number of CPU cores to use.
    """

    def __init__(self, cpus: int) -> None:
        limit_malloc_arenas()
        self._cpu_claims = reserve_cpus(cpus)
        self._cached: tuple[object, Translator] | None = None

    def run(self, task: Task, heartbeat_file: Path) -> TaskResult:
        """Run a task and return its result; errors of the task become its status.

        Args:
            task: what to do.
            heartbeat_file: receives the number of finished frames, as text, while the task runs.
        """
        started_at, next_heartbeat = time.monotonic(), 0.0

        def progress(frames: int) -> None:
            nonlocal next_heartbeat
            if (now := time.monotonic()) >= next_heartbeat:
                next_heartbeat = now + _HEARTBEAT_INTERVAL_S
                with contextlib.suppress(OSError):
                    heartbeat_file.write_text(str(frames))

        frames, error = 0, ""
        status: TaskStatus = "done"
        with _collect_warnings() as warnings:
            try:
                _check_shared_dir(task.output.parent)
                frames = task.run(self._open_translator, progress)
            except NotSplittable as reason:
                status, error = "not_splittable", str(reason)
            except (SourceError, UsageError) as invalid:
                status, error = "invalid", str(invalid)
            except Exception as failure:  # no error of one task may end the batch
                status, error = "failed", _describe_error(failure)
        heartbeat_file.unlink(missing_ok=True)
        seconds = time.monotonic() - started_at
        worker_name = f"{platform.node()}:{os.getpid()}"
        return TaskResult(status, frames, seconds, error, tuple(warnings), worker_name)

    @contextmanager
    def _open_translator(self, options: TranslateOptions, source: Source) -> Iterator[Translator]:
        cache_key = (options, source.size, source.sample_aspect_ratio)
        if self._cached is not None and self._cached[0] != cache_key:
            self._cached[1].close()
            self._cached = None
        translator = self._cached[1] if self._cached else options.open_translator(source)
        self._cached = None
        try:
            yield translator
        except BaseException:
            translator.close()
            raise
        if options.deflicker:  # it still holds frames of the last video
            translator.close()
        else:
            self._cached = (cache_key, translator)


def reserve_cpus(count: int) -> list[socket.socket]:
    """Confine this process to CPU cores that no other worker of this machine has reserved.

    Engines, FFmpeg and the C library use as many threads as there are cores. If too few cores are
    free, the worker shares some.

    Args:
        count: number of cores.

    Returns:
        Sockets that hold the reservations until they are closed or the process ends, even when it
        is killed: each has a name that the kernel gives to one process only.
    """
    if not hasattr(os, "sched_setaffinity"):
        return []
    allowed = sorted(os.sched_getaffinity(0))
    if count >= len(allowed):
        return []
    reserved, claims = [], []
    for core in allowed:
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0cgt-core-{core}")
        except OSError:
            claim.close()
            continue
        reserved.append(core)
        claims.append(claim)
        if len(reserved) == count:
            break
    first = os.getpid() % len(allowed)
    others = (allowed[first:] + allowed[:first])[: count - len(reserved)]
    os.sched_setaffinity(0, {*reserved, *others})
    return claims


def _check_shared_dir(folder: Path) -> None:
    if not folder.is_dir():
        raise CgtError(
            f"{folder} does not exist on {platform.node()}; videos and outputs must be in a folder "
            "that all machines share under the same path"
        )


def _describe_error(error: Exception) -> str:
    if isinstance(error, CgtError):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


@contextmanager
def _collect_warnings() -> Iterator[list[str]]:
    """Collect the messages of `warn_user`, instead of printing them to stderr."""
    warnings: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            warnings.append(record.getMessage().removeprefix("note: "))

    logger, handler = logging.getLogger("cgt"), Collector()
    old_propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield warnings
    finally:
        logger.removeHandler(handler)
        logger.propagate = old_propagate
