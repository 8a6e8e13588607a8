"""`--jobs N`: processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from multiprocessing.connection import Connection, wait
from pathlib import Path

from ..engines.base import cores
from .pool import Pool
from .tasks import Task
from .worker import Outcome, Worker

_Errand = tuple[int, Task, Path]


class _Member:
    """A process and what it is doing."""

    def __init__(self, share: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, share), daemon=True)
        # Ctrl-C reaches all processes of a terminal; what it means is decided here.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self.errand: _Errand | None = None

    def give(self, errand: _Errand) -> None:
        self.errand = errand
        self.pipe.send(errand)

    def end(self) -> str:
        """Returns how it ended, if it had already."""
        self.process.join(0.2)
        code = self.process.exitcode
        self.process.kill()
        self.process.join()
        self.pipe.close()
        return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


class LocalPool(Pool):
    """So many processes, each on its share of the cores."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._share = max(1, cores() // workers)
        self._waiting: deque[_Errand] = deque()
        self._members: list[_Member] = []

    def submit(self, number: int, task: Task, beat: Path, urgent: bool) -> None:
        put = self._waiting.appendleft if urgent else self._waiting.append
        put((number, task, beat))

    def withdraw(self, number: int) -> None:
        self._waiting = deque(errand for errand in self._waiting if errand[0] != number)

    def wait(self, seconds: float) -> list[tuple[int, Outcome]]:
        self._set_to_work()
        busy = {member.pipe: member for member in self._members if member.errand}
        back = []
        for pipe in wait(list(busy), seconds):
            member = busy[pipe]  # type: ignore[index]
            assert member.errand is not None
            number = member.errand[0]
            try:
                back.append((number, member.pipe.recv()))
                member.errand = None
            except (EOFError, OSError):
                self._members.remove(member)
                back.append((number, Outcome("failed", error=f"a worker died: {member.end()}")))
        return back

    def _set_to_work(self) -> None:
        idle = [member for member in self._members if member.errand is None]
        while self._waiting and (idle or len(self._members) < self.workers):
            if not idle:
                idle.append(_Member(self._share))
                self._members.append(idle[-1])
            member = idle.pop()
            try:
                member.give(self._waiting[0])
            except OSError:  # it died while idle
                self._members.remove(member)
                member.end()
                continue
            self._waiting.popleft()

    @property
    def processes(self) -> list[int]:
        """The ids of those that are at work."""
        return [m.process.pid for m in self._members if m.errand and m.process.pid]

    def close(self) -> None:
        for member in self._members:
            member.process.kill()
        for member in self._members:
            member.end()
        self._members, self._waiting = [], deque()


def _serve(pipe: Connection, share: int) -> None:
    """The life of a process."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    worker = Worker(share)
    while True:
        try:
            number, task, beat = pipe.recv()
        except EOFError:
            return
        del number
        pipe.send(worker.do(task, beat))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
