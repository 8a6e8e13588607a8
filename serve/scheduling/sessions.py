"""Clients that send frames: each holds its newest one, and one answer."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cgt.runtime.image.preprocess import U8
from cgt.runtime.utils.closeable import Closeable

from ..api.errors import HttpError
from ..metrics import ServerMetrics
from ..models import ModelSelection
from .scheduler import Scheduler, TranslationJob
from .translators import TranslatorPool

RETRY_AFTER_S = 5  # seconds that a client is told to wait for a place

SessionResult = TranslationJob
"""What comes back: `translated` (uint8 HWC RGB, the client's to keep), `tag`, and the times."""


class Session(Closeable):
    """Made by `Sessions.open`; a context manager. Of the event loop's thread, but for `offer`.

    A picture is translated while at most one answer is waiting: who takes none costs nothing.
    frames, dropped: answers made, pictures that a newer one took the place of.
    """

    def __init__(
        self,
        number: int,
        selection: ModelSelection,
        scheduler: Scheduler,
        translators: TranslatorPool,
        metrics: ServerMetrics,
        on_close: Callable[[Session], None],
    ) -> None:
        self.number, self.selection = number, selection
        self.frames_translated = self.frames_dropped = 0
        self.closed = False
        self._scheduler, self._translators, self._metrics = scheduler, translators, metrics
        self._on_close = on_close
        self._loop = asyncio.get_running_loop()
        self._result_ready = asyncio.Event()
        self._lock = threading.Lock()
        self._pending: TranslationJob | None = None
        self._result: TranslationJob | None = None
        self._queued = False  # or being translated

    async def select_model(self, selection: ModelSelection) -> None:
        """From the next picture on; opens the engine, which may take seconds. Raises what that
        raises, and the session then stays as it was."""
        await asyncio.to_thread(self._translators.get_engine, selection)
        self.selection = selection

    def submit(self, image: U8, tag: Any = None) -> None:
        """uint8 HWC RGB, not written to any more. The newest wins. Any thread; after the end
        nothing happens."""
        with self._lock:
            if self.closed:
                return
            if self._pending is not None:
                self.frames_dropped += 1
                self._metrics.dropped.inc()
            self._pending = TranslationJob(image, self.selection, tag)
        self._enqueue_if_ready()

    def _enqueue_if_ready(self) -> None:
        """Stand in the row, where there is a picture and room for its answer."""
        with self._lock:
            if self._queued or self._pending is None or self._result is not None:
                return
            self._queued = True
        self._scheduler.enqueue(self)

    def next_job(self) -> TranslationJob | None:
        """See scheduler.Client."""
        with self._lock:
            job, self._pending = self._pending, None
            self._queued = job is not None
            return job

    def finish_job(self, job: TranslationJob) -> None:
        """See scheduler.Client."""
        with self._lock:
            self._queued = False
            if self.closed:
                return
            self._result = job
            self.frames_translated += job.error is None
        self._metrics.record(job)
        with suppress(RuntimeError):  # the loop has gone
            self._loop.call_soon_threadsafe(self._result_ready.set)

    async def next_result(self) -> SessionResult | None:
        """The next translation, in the order of the pictures; None after the end. Raises the
        CgtError that a picture's translation ended in; the session can go on."""
        while True:
            with self._lock:
                job, self._result = self._result, None
                self._result_ready.clear()
            if job is not None:
                self._enqueue_if_ready()
                if job.error is not None:
                    raise job.error
                return job
            if self.closed:
                return None
            await self._result_ready.wait()

    def close(self) -> None:
        """Nothing more is taken; `answer` gives None. Twice is fine."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
            self._pending = self._result = None
        self._result_ready.set()
        self._on_close(self)


class SessionManager(Closeable):
    """All sessions of a server. Of the event loop's thread."""

    def __init__(
        self,
        default_selection: ModelSelection,
        scheduler: Scheduler,
        translators: TranslatorPool,
        metrics: ServerMetrics,
        max_sessions: int,
    ) -> None:
        self._default_selection, self._max_sessions = default_selection, max_sessions
        self._scheduler, self._translators, self._metrics = scheduler, translators, metrics
        self._open: dict[int, Session] = {}
        self._counted: set[int] = set()
        self._session_numbers = itertools.count(1)
        self._closed = False

    def open(self, selection: ModelSelection | None = None, counted: bool = True) -> Session:
        """A session with a choice whose engine is open (the default's is). Raises Refusal (429)
        when there are `most` already; those not `counted` are the server's own."""
        if self._closed:
            raise HttpError(429, "the server is stopping", RETRY_AFTER_S)
        if counted and len(self._counted) >= self._max_sessions:
            raise HttpError(
                429,
                f"{self._max_sessions} of {self._max_sessions} places are taken; wait",
                RETRY_AFTER_S,
            )
        session = Session(
            next(self._session_numbers),
            selection or self._default_selection,
            self._scheduler,
            self._translators,
            self._metrics,
            self._remove,
        )
        self._open[session.number] = session
        if counted:
            self._counted.add(session.number)
            self._metrics.sessions.inc()
        return session

    def _remove(self, session: Session) -> None:
        self._open.pop(session.number, None)
        if session.number in self._counted:
            self._counted.remove(session.number)
            self._metrics.sessions.dec()

    @property
    def client_count(self) -> int:
        """Clients that are here."""
        return len(self._counted)

    def close(self) -> None:
        """Close all, and let none in."""
        self._closed = True
        for session in list(self._open.values()):
            session.close()
