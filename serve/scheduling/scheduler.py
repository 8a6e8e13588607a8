"""Who is translated next: one thread that goes round all that wait."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from cgt.runtime.errors import CgtError, EngineError
from cgt.runtime.image.preprocess import U8
from cgt.runtime.utils.closeable import Closeable

from ..models import ModelSelection
from .translators import TranslatorPool


@dataclass
class TranslationJob:
    """A picture (uint8 HWC RGB) under way. Times are of time.perf_counter, 0 until they are known;
    tag: the client's own."""

    image: U8
    selection: ModelSelection
    tag: Any = None
    submitted_at: float = field(default_factory=time.perf_counter)
    started_at: float = 0.0
    finished_at: float = 0.0
    translated: U8 | None = None
    error: CgtError | None = None


class SchedulerClient(Protocol):
    """Somebody who waits. The scheduler's thread calls both."""

    def next_job(self) -> TranslationJob | None:
        """The picture to translate now; None when it is no longer wanted."""

    def finish_job(self, job: TranslationJob) -> None:
        """It is done: it has `translated` or `error`. Must not wait and not raise."""


_ClientJob = tuple[SchedulerClient, TranslationJob]


class Scheduler(Closeable):
    """Translates for its clients, in turn. A client that asks stands at the end of the row, and
    stands there once: so each gets as many turns as any other, whatever their frame rates."""

    def __init__(self, translators: TranslatorPool) -> None:
        self._translators = translators
        self._queue: queue.SimpleQueue[SchedulerClient | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="cgt-serve", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def enqueue(self, client: SchedulerClient) -> None:
        """A turn for a client that stands in no row. Any thread."""
        self._queue.put(client)

    def _run(self) -> None:
        while (client := self._queue.get()) is not None:
            groups: dict[tuple[Any, ...], list[_ClientJob]] = {}
            for client_job in self._collect_batch(client):
                job = client_job[1]
                groups.setdefault((job.selection, job.image.shape), []).append(client_job)
            for group in groups.values():
                min_batch, _ = self._translators.batch_range(group[0][1].selection)
                batched = len(group) >= min_batch
                for batch in [group] if batched else [[turn] for turn in group]:
                    self._translate_batch(batch)

    def _collect_batch(self, client: SchedulerClient) -> list[_ClientJob]:
        """This client's picture, and those of the next where the engine gains from more at once."""
        batch: list[_ClientJob] = []
        max_batch = 1
        while True:
            job = client.next_job()
            if job is not None:
                batch.append((client, job))
                _, max_batch = self._translators.batch_range(batch[0][1].selection)
            if len(batch) >= max_batch or self._queue.empty():
                return batch
            next_client = self._queue.get()  # nobody else takes any
            if next_client is None:
                self._queue.put(None)
                return batch
            client = next_client

    def _translate_batch(self, batch: list[_ClientJob]) -> None:
        jobs = [job for _, job in batch]
        started_at = time.perf_counter()
        error: CgtError | None = None
        translated: list[U8] = []
        try:
            translated = self._translators.translate(jobs[0].selection, [job.image for job in jobs])
        except CgtError as known:
            error = known
        except Exception as unknown:  # the thread serves all: it must outlive any one picture
            error = EngineError(f"{type(unknown).__name__}: {unknown}")
        finished_at = time.perf_counter()
        for number, (client, job) in enumerate(batch):
            job.started_at, job.finished_at, job.error = started_at, finished_at, error
            job.translated = None if error else translated[number]
            client.finish_job(job)

    def close(self) -> None:
        """Ends the thread after the picture it is at."""
        self._queue.put(None)
        self._thread.join()
