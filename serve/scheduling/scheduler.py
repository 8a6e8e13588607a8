"""Round-robin scheduler: one thread that translates the frames of all clients."""

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
    """Translation of one frame.

    Attributes:
        image: uint8 HWC RGB.
        selection: Model, size and precision.
        tag: Any value of the client.
        submitted_at: Time of submission, by time.perf_counter, as are the other times.
        started_at: Start of the translation, 0 before.
        finished_at: End of the translation, 0 before.
        translated: Result, uint8 HWC with the channels of the model; None before the end and
            after an error.
        error: Why the translation failed.
    """

    image: U8
    selection: ModelSelection
    tag: Any = None
    submitted_at: float = field(default_factory=time.perf_counter)
    started_at: float = 0.0
    finished_at: float = 0.0
    translated: U8 | None = None
    error: CgtError | None = None


class SchedulerClient(Protocol):
    """Client of the scheduler. The thread of the scheduler calls its methods."""

    def next_job(self) -> TranslationJob | None:
        """Return the frame to translate; None if the client no longer has one."""

    def finish_job(self, job: TranslationJob) -> None:
        """Take a job with `translated` or `error` set. Must neither block nor raise."""


_ClientJob = tuple[SchedulerClient, TranslationJob]


class Scheduler(Closeable):
    """Translates for its clients in turn.

    Each client is in the queue at most once. So all clients get the same number of turns, whatever
    their frame rates.
    """

    def __init__(self, translators: TranslatorPool) -> None:
        self._translators = translators
        self._queue: queue.SimpleQueue[SchedulerClient | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="cgt-serve", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def enqueue(self, client: SchedulerClient) -> None:
        """Append a client that is not in the queue. May be called from any thread."""
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
                for batch in [group] if batched else [[client_job] for client_job in group]:
                    self._translate_batch(batch)

    def _collect_batch(self, client: SchedulerClient) -> list[_ClientJob]:
        """Return the job of a client, and those of the next ones if batches are faster."""
        batch: list[_ClientJob] = []
        max_batch = 1
        while True:
            job = client.next_job()
            if job is not None:
                batch.append((client, job))
                _, max_batch = self._translators.batch_range(batch[0][1].selection)
            if len(batch) >= max_batch or self._queue.empty():
                return batch
            next_client = self._queue.get()  # does not block: only this thread takes clients
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
        except Exception as unknown:  # the thread serves all clients: no frame may end it
            error = EngineError(f"{type(unknown).__name__}: {unknown}")
        finished_at = time.perf_counter()
        for number, (client, job) in enumerate(batch):
            job.started_at, job.finished_at, job.error = started_at, finished_at, error
            job.translated = None if error else translated[number]
            client.finish_job(job)

    def close(self) -> None:
        """End the thread after its current frame."""
        self._queue.put(None)
        self._thread.join()
