"""The run of a pile: tasks to workers, parts to films, what failed to others."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import SinkError
from ..notes import note
from ..translation import Translation
from .film import Film
from .ledger import Ledger
from .parts import read_times
from .pool import Pool
from .tasks import Join, Task
from .worker import Outcome

TRIES = 3
"""How often a task is given to a worker before its film counts as failed."""
_LOOK = 0.5  # seconds between looks at the progress


@dataclass
class _Errand:
    """A task that is out."""

    film: Film
    task: Task
    beat: Path
    tries: int = 1


class Run:
    """films: as `plan_film` gives them; they are told what became of them."""

    def __init__(self, films: list[Film], given: Translation, pool: Pool, ledger: Ledger) -> None:
        self._films, self._given, self._pool, self._ledger = films, given, pool, ledger
        self._out: dict[int, _Errand] = {}
        self._numbers = itertools.count()
        self._done: dict[Path, int] = {}  # frames, by what a task made
        self.retries = 0

    def finish(self, stop: threading.Event, watch: Callable[[int], None]) -> None:
        """Until all films are finished or have failed, or `stop` is set. watch: is told the frames
        done so far, of all films."""
        for film in self._films:
            if not film.skipped and not film.error:
                self._begin(film)
        while self._out and not stop.is_set():
            for number, outcome in self._pool.wait(_LOOK):
                errand = self._out.pop(number, None)
                if errand is not None:
                    self._take(errand, outcome)
            watch(sum(self._done.values()) + sum(map(_told, self._out.values())))

    def _begin(self, film: Film) -> None:
        pieces = film.pieces(self._given)
        for part in film.parts:
            if part.exists():  # an earlier run's
                self._done[part] = len(read_times(part))
        for piece in pieces or [film.join(self._given)]:
            self._submit(film, piece)

    def _submit(self, film: Film, task: Task, tries: int = 1) -> None:
        number = next(self._numbers)
        beat = film.room / f"{number}.beat"
        self._out[number] = _Errand(film, task, beat, tries)
        film.tries = max(film.tries, tries)
        urgent = tries > 1 or isinstance(task, Join)
        self._pool.submit(number, task, beat, urgent)

    def _take(self, errand: _Errand, outcome: Outcome) -> None:
        film, task = errand.film, errand.task
        film.seconds += outcome.seconds
        if outcome.verdict == "done":
            film.notes += [text for text in outcome.notes if text not in film.notes]
            self._done[task.out] = outcome.frames
            self._go_on(film, task)
        elif outcome.verdict == "uncuttable":
            note(f"{film.source} is not cut: {outcome.error}")
            self._withdraw(film)
            film.cuts = ()
            self._begin(film)
        elif outcome.verdict == "failed" and errand.tries < TRIES:
            note(f"{film.source}: {outcome.error}; trying again")
            self.retries += 1
            self._submit(film, task, errand.tries + 1)
        else:
            self._fail(film, outcome.error)

    def _go_on(self, film: Film, task: Task) -> None:
        if film.cuts and not isinstance(task, Join):
            if not any(errand.film is film for errand in self._out.values()):
                self._submit(film, film.join(self._given))
            return
        try:
            self._ledger.publish(task.out, film.target, film.key)
        except SinkError as error:
            self._fail(film, str(error))
            return
        film.done = True
        film.frames = sum(self._done.get(path, 0) for path in (*film.parts, task.out))
        for text in film.notes:
            note(text)

    def _fail(self, film: Film, why: str) -> None:
        film.error = why
        self._withdraw(film)
        self._ledger.forget(film.key)

    def _withdraw(self, film: Film) -> None:
        for number in [n for n, errand in self._out.items() if errand.film is film]:
            del self._out[number]
            self._pool.withdraw(number)
        for path in film.parts:
            self._done.pop(path, None)


def _told(errand: _Errand) -> int:
    """What the worker has said of its progress."""
    with contextlib.suppress(OSError, ValueError):
        return int(errand.beat.read_text())
    return 0
