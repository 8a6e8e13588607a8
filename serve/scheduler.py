"""Who is translated next: one thread that goes round all that wait."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from cgt.runtime.closing import Closing
from cgt.runtime.errors import CgtError, EngineError
from cgt.runtime.preprocess import U8

from .catalog import Choice
from .translators import Translators


@dataclass
class Job:
    """A picture (uint8 HWC RGB) under way. Times are of time.perf_counter, 0 until they are known;
    tag: the client's own."""

    picture: U8
    choice: Choice
    tag: Any = None
    offered: float = field(default_factory=time.perf_counter)
    began: float = 0.0
    done: float = 0.0
    translated: U8 | None = None
    error: CgtError | None = None


class Client(Protocol):
    """Somebody who waits. The scheduler's thread calls both."""

    def take(self) -> Job | None:
        """The picture to translate now; None when it is no longer wanted."""

    def give(self, job: Job) -> None:
        """It is done: it has `translated` or `error`. Must not wait and not raise."""


_Turn = tuple[Client, Job]


class Scheduler(Closing):
    """Translates for its clients, in turn. A client that asks stands at the end of the row, and
    stands there once: so each gets as many turns as any other, whatever their frame rates."""

    def __init__(self, translators: Translators) -> None:
        self._translators = translators
        self._row: queue.SimpleQueue[Client | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="cgt-serve", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def ask(self, client: Client) -> None:
        """A turn for a client that stands in no row. Any thread."""
        self._row.put(client)

    def _work(self) -> None:
        while (client := self._row.get()) is not None:
            kinds: dict[tuple[Any, ...], list[_Turn]] = {}
            for turn in self._turns(client):
                job = turn[1]
                kinds.setdefault((job.choice, job.picture.shape), []).append(turn)
            for turns in kinds.values():
                least, _ = self._translators.together(turns[0][1].choice)
                worth = len(turns) >= least
                for group in [turns] if worth else [[turn] for turn in turns]:
                    self._translate(group)

    def _turns(self, client: Client) -> list[_Turn]:
        """This client's picture, and those of the next where the engine gains from more at once."""
        turns: list[_Turn] = []
        most = 1
        while True:
            job = client.take()
            if job is not None:
                turns.append((client, job))
                _, most = self._translators.together(turns[0][1].choice)
            if len(turns) >= most or self._row.empty():
                return turns
            following = self._row.get()  # nobody else takes any
            if following is None:
                self._row.put(None)
                return turns
            client = following

    def _translate(self, turns: list[_Turn]) -> None:
        jobs = [job for _, job in turns]
        began = time.perf_counter()
        error: CgtError | None = None
        translated: list[U8] = []
        try:
            translated = self._translators.translate(jobs[0].choice, [job.picture for job in jobs])
        except CgtError as known:
            error = known
        except Exception as unknown:  # the thread serves all: it must outlive any one picture
            error = EngineError(f"{type(unknown).__name__}: {unknown}")
        done = time.perf_counter()
        for number, (client, job) in enumerate(turns):
            job.began, job.done, job.error = began, done, error
            job.translated = None if error else translated[number]
            client.give(job)

    def close(self) -> None:
        """Ends the thread after the picture it is at."""
        self._row.put(None)
        self._thread.join()
