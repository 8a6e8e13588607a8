"""One worker: a process that does tasks, one after the other, on cores of its own."""

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
"""bad: the film or the request is at fault, nobody will do better. failed: another worker may."""

_HEARTBEAT_INTERVAL_S = 0.5  # seconds between words on the progress


@dataclass(frozen=True)
class TaskResult:
    """What became of a task. frames: translated. error: one line, unless done. notes: what the
    user should know. worker: host and process."""

    status: TaskStatus
    frames: int = 0
    seconds: float = 0.0
    error: str = ""
    warnings: tuple[str, ...] = ()
    worker: str = ""


class Worker:
    """Does tasks. Keeps the network ready from one to the next, where they want the same.

    cores: how many it may use. To be made in a process of its own, before engines are loaded.
    """

    def __init__(self, cpus: int) -> None:
        limit_malloc_arenas()
        self._cpu_claims = reserve_cpus(cpus)
        self._cached: tuple[object, Translator] | None = None

    def run(self, task: Task, heartbeat_file: Path) -> TaskResult:
        """Never raises what a task may raise. beat: a file that is told the frames done so far."""
        began, due = time.monotonic(), 0.0

        def progress(frames: int) -> None:
            nonlocal due
            if (now := time.monotonic()) >= due:
                due = now + _HEARTBEAT_INTERVAL_S
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
            except (SourceError, UsageError) as wrong:
                status, error = "invalid", str(wrong)
            except Exception as failure:  # whatever it was, it must not end the pile
                status, error = "failed", _describe_error(failure)
        heartbeat_file.unlink(missing_ok=True)
        seconds = time.monotonic() - began
        who = f"{platform.node()}:{os.getpid()}"
        return TaskResult(status, frames, seconds, error, tuple(warnings), who)

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
        if options.deflicker:  # it remembers the last film
            translator.close()
        else:
            self._cached = (cache_key, translator)


def reserve_cpus(count: int) -> list[socket.socket]:
    """Confine this process to so many cores that no other worker here has claimed; engines, FFmpeg
    and the C library take as many threads. Where too few are left it shares.

    The claims hold until they are closed or the process ends, however it ends: each is the name of
    a socket, of which the kernel gives out one.
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
            f"{platform.node()} does not see {folder}; videos and outputs must be in a folder "
            "that all machines share under the same name"
        )


def _describe_error(error: Exception) -> str:
    if isinstance(error, CgtError):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


@contextmanager
def _collect_warnings() -> Iterator[list[str]]:
    """What `note` says, instead of its going to stderr."""
    warnings: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            warnings.append(record.getMessage().removeprefix("note: "))

    log, handler = logging.getLogger("cgt"), Collector()
    before, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield warnings
    finally:
        log.removeHandler(handler)
        log.propagate = before
