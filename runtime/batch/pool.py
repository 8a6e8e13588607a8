"""The contract of a pool: workers somewhere, which are given tasks."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from ..utils.closeable import Closeable
from .tasks import Task
from .worker import TaskResult


class Pool(Closeable):
    """A context manager; leaving it ends all workers at once, whatever they do. A task whose
    worker died comes back as failed. Nothing is retried here."""

    workers: int  # now; machines may come and go

    @abstractmethod
    def submit(self, task_id: int, task: Task, heartbeat_file: Path, urgent: bool) -> None:
        """Give a task, to be done when a worker is free, in the order in which they were given; an
        urgent one before all others. beat: see Worker.do."""

    @abstractmethod
    def cancel(self, task_id: int) -> None:
        """The task need not be begun any more. One that is under way may come back."""

    @abstractmethod
    def wait(self, timeout: float) -> list[tuple[int, TaskResult]]:
        """The tasks that came back, after so long at the most."""
