"""Clients that send frames: each holds its newest one, and one answer."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cgt.runtime.closing import Closing
from cgt.runtime.preprocess import U8

from .catalog import Choice
from .metrics import Metrics
from .refusals import Refusal
from .scheduler import Job, Scheduler
from .translators import Translators

RETRY_AFTER = 5  # seconds that a client is told to wait for a place

Answer = Job
"""What comes back: `translated` (uint8 HWC RGB, the client's to keep), `tag`, and the times."""


class Session(Closing):
    """Made by `Sessions.open`; a context manager. Of the event loop's thread, but for `offer`.

    A picture is translated while at most one answer is waiting: who takes none costs nothing.
    frames, dropped: answers made, pictures that a newer one took the place of.
    """

    def __init__(
        self,
        number: int,
        choice: Choice,
        scheduler: Scheduler,
        translators: Translators,
        metrics: Metrics,
        forget: Callable[[Session], None],
    ) -> None:
        self.number, self.choice = number, choice
        self.frames = self.dropped = 0
        self.closed = False
        self._scheduler, self._translators, self._metrics = scheduler, translators, metrics
        self._forget = forget
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._lock = threading.Lock()
        self._picture: Job | None = None
        self._answer: Job | None = None
        self._in_row = False  # or being translated

    async def choose(self, choice: Choice) -> None:
        """From the next picture on; opens the engine, which may take seconds. Raises what that
        raises, and the session then stays as it was."""
        await asyncio.to_thread(self._translators.open, choice)
        self.choice = choice

    def offer(self, picture: U8, tag: Any = None) -> None:
        """uint8 HWC RGB, not written to any more. The newest wins. Any thread; after the end
        nothing happens."""
        with self._lock:
            if self.closed:
                return
            if self._picture is not None:
                self.dropped += 1
                self._metrics.dropped.inc()
            self._picture = Job(picture, self.choice, tag)
        self._ask()

    def _ask(self) -> None:
        """Stand in the row, where there is a picture and room for its answer."""
        with self._lock:
            if self._in_row or self._picture is None or self._answer is not None:
                return
            self._in_row = True
        self._scheduler.ask(self)

    def take(self) -> Job | None:
        """See scheduler.Client."""
        with self._lock:
            job, self._picture = self._picture, None
            self._in_row = job is not None
            return job

    def give(self, job: Job) -> None:
        """See scheduler.Client."""
        with self._lock:
            self._in_row = False
            if self.closed:
                return
            self._answer = job
            self.frames += job.error is None
        self._metrics.answered(job)
        with suppress(RuntimeError):  # the loop has gone
            self._loop.call_soon_threadsafe(self._changed.set)

    async def answer(self) -> Answer | None:
        """The next translation, in the order of the pictures; None after the end. Raises the
        CgtError that a picture's translation ended in; the session can go on."""
        while True:
            with self._lock:
                job, self._answer = self._answer, None
                self._changed.clear()
            if job is not None:
                self._ask()
                if job.error is not None:
                    raise job.error
                return job
            if self.closed:
                return None
            await self._changed.wait()

    def close(self) -> None:
        """Nothing more is taken; `answer` gives None. Twice is fine."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
            self._picture = self._answer = None
        self._changed.set()
        self._forget(self)


class Sessions(Closing):
    """All sessions of a server. Of the event loop's thread."""

    def __init__(
        self,
        default: Choice,
        scheduler: Scheduler,
        translators: Translators,
        metrics: Metrics,
        most: int,
    ) -> None:
        self._default, self._most = default, most
        self._scheduler, self._translators, self._metrics = scheduler, translators, metrics
        self._open: dict[int, Session] = {}
        self._counted: set[int] = set()
        self._numbers = itertools.count(1)
        self._closed = False

    def open(self, choice: Choice | None = None, counted: bool = True) -> Session:
        """A session with a choice whose engine is open (the default's is). Raises Refusal (429)
        when there are `most` already; those not `counted` are the server's own."""
        if self._closed:
            raise Refusal(429, "the server is stopping", RETRY_AFTER)
        if counted and len(self._counted) >= self._most:
            raise Refusal(429, f"{self._most} of {self._most} places are taken; wait", RETRY_AFTER)
        session = Session(
            next(self._numbers),
            choice or self._default,
            self._scheduler,
            self._translators,
            self._metrics,
            self._forget,
        )
        self._open[session.number] = session
        if counted:
            self._counted.add(session.number)
            self._metrics.sessions.inc()
        return session

    def _forget(self, session: Session) -> None:
        self._open.pop(session.number, None)
        if session.number in self._counted:
            self._counted.remove(session.number)
            self._metrics.sessions.dec()

    @property
    def count(self) -> int:
        """Clients that are here."""
        return len(self._counted)

    def close(self) -> None:
        """Close all, and let none in."""
        self._closed = True
        for session in list(self._open.values()):
            session.close()
