"""`--jobs N`: processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from multiprocessing.connection import Connection, wait
from pathlib import Path

from ..utils.system import available_cpus
from .pool import Pool
from .tasks import Task
from .worker import TaskResult, Worker

_QueuedTask = tuple[int, Task, Path]


class _WorkerProcess:
    """A process and what it is doing."""

    def __init__(self, cpus: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_worker_main, args=(theirs, cpus), daemon=True)
        # Ctrl-C reaches all processes of a terminal; what it means is decided here.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self.assignment: _QueuedTask | None = None

    def assign(self, assignment: _QueuedTask) -> None:
        self.assignment = assignment
        self.pipe.send(assignment)

    def terminate(self) -> str:
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
        self._cpus_per_worker = max(1, available_cpus() // workers)
        self._queue: deque[_QueuedTask] = deque()
        self._processes: list[_WorkerProcess] = []

    def submit(self, task_id: int, task: Task, heartbeat_file: Path, urgent: bool) -> None:
        put = self._queue.appendleft if urgent else self._queue.append
        put((task_id, task, heartbeat_file))

    def cancel(self, task_id: int) -> None:
        self._queue = deque(errand for errand in self._queue if errand[0] != task_id)

    def wait(self, timeout: float) -> list[tuple[int, TaskResult]]:
        self._dispatch()
        busy = {member.pipe: member for member in self._processes if member.assignment}
        back = []
        for pipe in wait(list(busy), timeout):
            member = busy[pipe]  # type: ignore[index]
            assert member.assignment is not None
            number = member.assignment[0]
            try:
                back.append((number, member.pipe.recv()))
                member.assignment = None
            except (EOFError, OSError):
                self._processes.remove(member)
                back.append(
                    (number, TaskResult("failed", error=f"a worker died: {member.terminate()}"))
                )
        return back

    def _dispatch(self) -> None:
        idle = [member for member in self._processes if member.assignment is None]
        while self._queue and (idle or len(self._processes) < self.workers):
            if not idle:
                idle.append(_WorkerProcess(self._cpus_per_worker))
                self._processes.append(idle[-1])
            member = idle.pop()
            try:
                member.assign(self._queue[0])
            except OSError:  # it died while idle
                self._processes.remove(member)
                member.terminate()
                continue
            self._queue.popleft()

    @property
    def busy_pids(self) -> list[int]:
        """The ids of those that are at work."""
        return [m.process.pid for m in self._processes if m.assignment and m.process.pid]

    def close(self) -> None:
        for member in self._processes:
            member.process.kill()
        for member in self._processes:
            member.terminate()
        self._processes, self._queue = [], deque()


def _worker_main(pipe: Connection, cpus: int) -> None:
    """The life of a process."""
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    worker = Worker(cpus)
    while True:
        try:
            number, task, heartbeat_file = pipe.recv()
        except EOFError:
            return
        del number
        pipe.send(worker.run(task, heartbeat_file))


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
