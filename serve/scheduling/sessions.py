"""Sessions of clients: each holds the newest frame of its client and one result."""

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

RETRY_AFTER_S = 5  # for clients that get no session

SessionResult = TranslationJob
"""Finished job: `translated` (uint8 HWC, owned by the receiver), `tag`, and the times."""


class Session(Closeable):
    """Session of one client, opened by `SessionManager.open`.

    A frame is translated only once the previous result has been fetched, so a client that fetches
    none costs nothing. Methods other than `submit` are to be called in the thread of the event
    loop.

    Attributes:
        frames_translated: Number of results.
        frames_dropped: Number of frames that a newer one replaced.
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
        self._queued = False  # in the queue of the scheduler, or being translated

    async def select_model(self, selection: ModelSelection) -> None:
        """Change the selection, from the next frame on. Opens the engine, which may take seconds.

        Raises:
            CgtError: The engine cannot be opened. The selection then stays as it was.
        """
        await asyncio.to_thread(self._translators.get_engine, selection)
        self.selection = selection

    def submit(self, image: U8, tag: Any = None) -> None:
        """Submit a frame; it replaces one that still waits.

        May be called from any thread. Does nothing after `close`.

        Args:
            image: uint8 HWC RGB. The caller must not write to it any more.
            tag: Returned with the result.
        """
        with self._lock:
            if self.closed:
                return
            if self._pending is not None:
                self.frames_dropped += 1
                self._metrics.dropped.inc()
            self._pending = TranslationJob(image, self.selection, tag)
        self._enqueue_if_ready()

    def _enqueue_if_ready(self) -> None:
        """Enter the queue if there is a frame to translate and no result to fetch."""
        with self._lock:
            if self._queued or self._pending is None or self._result is not None:
                return
            self._queued = True
        self._scheduler.enqueue(self)

    def next_job(self) -> TranslationJob | None:
        """See SchedulerClient."""
        with self._lock:
            job, self._pending = self._pending, None
            self._queued = job is not None
            return job

    def finish_job(self, job: TranslationJob) -> None:
        """See SchedulerClient."""
        with self._lock:
            self._queued = False
            if self.closed:
                return
            self._result = job
            self.frames_translated += job.error is None
        self._metrics.record(job)
        with suppress(RuntimeError):  # the event loop is closed
            self._loop.call_soon_threadsafe(self._result_ready.set)

    async def next_result(self) -> SessionResult | None:
        """Wait for the next result, in the order of the frames; return None after `close`.

        Raises:
            CgtError: The translation of a frame failed. More results may follow.
        """
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
        """End the session; `next_result` then returns None. May be called more than once."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
            self._pending = self._result = None
        self._result_ready.set()
        self._on_close(self)


class SessionManager(Closeable):
    """All sessions of a server. To be used in the thread of the event loop.

    Args:
        default_selection: Selection of new sessions.
        scheduler: Scheduler of the sessions.
        translators: Where their engines are opened.
        metrics: Where they are counted.
        max_sessions: Maximum number of clients at a time.
    """

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
        """Open a session.

        Args:
            selection: A selection whose engine is open; None for the default.
            counted: Whether it counts as a client. Sessions of the server itself do not.

        Raises:
            HttpError: 429 if all sessions are in use.
        """
        if self._closed:
            raise HttpError(429, "the server is shutting down", RETRY_AFTER_S)
        if counted and len(self._counted) >= self._max_sessions:
            raise HttpError(
                429,
                f"all {self._max_sessions} sessions are in use; try again later",
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
        """Number of connected clients."""
        return len(self._counted)

    def close(self) -> None:
        """Close all sessions and reject new ones."""
        self._closed = True
        for session in list(self._open.values()):
            session.close()
