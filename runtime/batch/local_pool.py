"""Pool of worker processes on this machine (`--jobs N`)."""

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
    """A worker process and its current task."""

    def __init__(self, cpus: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, worker_end = context.Pipe()
        self.process = context.Process(target=_worker_main, args=(worker_end, cpus), daemon=True)
        # Ctrl-C reaches all processes of a terminal; only the parent handles it.
        old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)
        worker_end.close()
        self.assignment: _QueuedTask | None = None

    def assign(self, assignment: _QueuedTask) -> None:
        self.assignment = assignment
        self.pipe.send(assignment)

    def terminate(self) -> str:
        """Kill the process; return how it had ended, if it had."""
        self.process.join(0.2)
        code = self.process.exitcode
        self.process.kill()
        self.process.join()
        self.pipe.close()
        return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


class LocalPool(Pool):
    """Worker processes, each on its share of the CPU cores."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._cpus_per_worker = max(1, available_cpus() // workers)
        self._queue: deque[_QueuedTask] = deque()
        self._processes: list[_WorkerProcess] = []

    def submit(self, task_id: int, task: Task, heartbeat_file: Path, urgent: bool) -> None:
        put = self._queue.appendleft if urgent else self._queue.append
        put((task_id, task, heartbeat_file))

    def cancel(self, task_id: int) -> None:
        self._queue = deque(queued for queued in self._queue if queued[0] != task_id)

    def wait(self, timeout_s: float) -> list[tuple[int, TaskResult]]:
        self._dispatch()
        busy = {process.pipe: process for process in self._processes if process.assignment}
        results = []
        for pipe in wait(list(busy), timeout_s):
            process = busy[pipe]  # type: ignore[index]
            assert process.assignment is not None
            task_id = process.assignment[0]
            try:
                results.append((task_id, process.pipe.recv()))
                process.assignment = None
            except (EOFError, OSError):
                self._processes.remove(process)
                error = f"a worker died: {process.terminate()}"
                results.append((task_id, TaskResult("failed", error=error)))
        return results

    def _dispatch(self) -> None:
        idle = [process for process in self._processes if process.assignment is None]
        while self._queue and (idle or len(self._processes) < self.workers):
            if not idle:
                idle.append(_WorkerProcess(self._cpus_per_worker))
                self._processes.append(idle[-1])
            process = idle.pop()
            try:
                process.assign(self._queue[0])
            except OSError:  # it died while idle
                self._processes.remove(process)
                process.terminate()
                continue
            self._queue.popleft()

    @property
    def busy_pids(self) -> list[int]:
        """Process ids of the workers that have a task."""
        return [p.process.pid for p in self._processes if p.assignment and p.process.pid]

    def close(self) -> None:
        for process in self._processes:
            process.process.kill()
        for process in self._processes:
            process.terminate()
        self._processes, self._queue = [], deque()


def _worker_main(pipe: Connection, cpus: int) -> None:
    """Run tasks from the pipe until it closes."""
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    worker = Worker(cpus)
    while True:
        try:
            _, task, heartbeat_file = pipe.recv()
        except EOFError:
            return
        pipe.send(worker.run(task, heartbeat_file))


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
