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

from ..errors import CgtError, SourceError, UsageError
from ..heap import share_one_heap
from ..sources import Source
from ..translation import Translation
from ..translator import Translator
from .tasks import Task, Uncuttable

Verdict = Literal["done", "bad", "uncuttable", "failed"]
"""bad: the film or the request is at fault, nobody will do better. failed: another worker may."""

_BEAT = 0.5  # seconds between words on the progress


@dataclass(frozen=True)
class Outcome:
    """What became of a task. frames: translated. error: one line, unless done. notes: what the
    user should know. worker: host and process."""

    verdict: Verdict
    frames: int = 0
    seconds: float = 0.0
    error: str = ""
    notes: tuple[str, ...] = ()
    worker: str = ""


class Worker:
    """Does tasks. Keeps the network ready from one to the next, where they want the same.

    cores: how many it may use. To be made in a process of its own, before engines are loaded.
    """

    def __init__(self, cores: int) -> None:
        share_one_heap()
        self._claims = claim_cores(cores)
        self._kept: tuple[object, Translator] | None = None

    def do(self, task: Task, beat: Path) -> Outcome:
        """Never raises what a task may raise. beat: a file that is told the frames done so far."""
        began, due = time.monotonic(), 0.0

        def progress(frames: int) -> None:
            nonlocal due
            if (now := time.monotonic()) >= due:
                due = now + _BEAT
                with contextlib.suppress(OSError):
                    beat.write_text(str(frames))

        frames, error = 0, ""
        verdict: Verdict = "done"
        with _collected_notes() as notes:
            try:
                _look_for(task.out.parent)
                frames = task.run(self._translator, progress)
            except Uncuttable as reason:
                verdict, error = "uncuttable", str(reason)
            except (SourceError, UsageError) as wrong:
                verdict, error = "bad", str(wrong)
            except Exception as failure:  # whatever it was, it must not end the pile
                verdict, error = "failed", _described(failure)
        beat.unlink(missing_ok=True)
        seconds = time.monotonic() - began
        who = f"{platform.node()}:{os.getpid()}"
        return Outcome(verdict, frames, seconds, error, tuple(notes), who)

    @contextmanager
    def _translator(self, given: Translation, source: Source) -> Iterator[Translator]:
        wanted = (given, source.size, source.aspect)
        if self._kept is not None and self._kept[0] != wanted:
            self._kept[1].close()
            self._kept = None
        translator = self._kept[1] if self._kept else given.translator(source)
        self._kept = None
        try:
            yield translator
        except BaseException:
            translator.close()
            raise
        if given.calm:  # it remembers the last film
            translator.close()
        else:
            self._kept = (wanted, translator)


def claim_cores(count: int) -> list[socket.socket]:
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
    mine, claims = [], []
    for core in allowed:
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0cgt-core-{core}")
        except OSError:
            claim.close()
            continue
        mine.append(core)
        claims.append(claim)
        if len(mine) == count:
            break
    first = os.getpid() % len(allowed)
    others = (allowed[first:] + allowed[:first])[: count - len(mine)]
    os.sched_setaffinity(0, {*mine, *others})
    return claims


def _look_for(folder: Path) -> None:
    if not folder.is_dir():
        raise CgtError(
            f"{platform.node()} does not see {folder}; videos and outputs must be in a folder "
            "that all machines share under the same name"
        )


def _described(error: Exception) -> str:
    if isinstance(error, CgtError):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


@contextmanager
def _collected_notes() -> Iterator[list[str]]:
    """What `note` says, instead of its going to stderr."""
    notes: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            notes.append(record.getMessage().removeprefix("note: "))

    log, handler = logging.getLogger("cgt"), Collector()
    before, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield notes
    finally:
        log.removeHandler(handler)
        log.propagate = before
