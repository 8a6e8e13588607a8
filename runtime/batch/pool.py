"""Interface of worker pools."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from ..utils.closeable import Closeable
from .tasks import Task
from .worker import TaskResult


class Pool(Closeable):
    """Workers that run tasks; a context manager that kills all of them at its end.

    A task whose worker dies has the result "failed". The pool retries nothing.
    """

    workers: int  # at present; machines may join and leave

    @abstractmethod
    def submit(self, task_id: int, task: Task, heartbeat_file: Path, urgent: bool) -> None:
        """Queue a task.

        Args:
            task_id: number under which `wait` returns the result.
            task: what to do.
            heartbeat_file: see Worker.run.
            urgent: run it before all queued tasks, not after them.
        """

    @abstractmethod
    def cancel(self, task_id: int) -> None:
        """Remove a task from the queue. A task that is running may still return a result."""

    @abstractmethod
    def wait(self, timeout_s: float) -> list[tuple[int, TaskResult]]:
        """Start queued tasks and wait for results, for `timeout_s` at most."""
