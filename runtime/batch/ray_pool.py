"""`--ray`: the workers of a Ray cluster. What travels is the names of files, and words."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections import deque
from pathlib import Path
from typing import Any

from ..errors import EngineError, MissingDependency
from .pool import Pool
from .tasks import Task
from .worker import TaskResult, Worker

# Ray asks the internet for nothing, and hides no GPU from a worker that asked for none.
_RAY_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
_QueuedTask = tuple[int, Task, Path]
_worker: Worker | None = None  # of a process that Ray runs tasks in


class RayPool(Pool):
    """workers: how many at once; by default one for each core of the cluster, or for each GPU where
    the engine runs on one. address: HOST:PORT, "auto" for the cluster of this machine, or "" to
    start one here for this run.

    Raises MissingDependency without Ray, EngineError where no cluster answers.
    """

    def __init__(self, address: str = "", workers: int | None = None, gpu: bool = False) -> None:
        for name, value in _RAY_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            import ray
        except ImportError:
            raise MissingDependency(
                "--ray needs Ray: pip install 'cyclegan-toolkit[ray]'; or use --jobs"
            ) from None
        _check_reachable(address)
        self._ray: Any = ray
        self._exit_stack = contextlib.ExitStack()
        # What goes wrong in the cluster it prints, with pages of logs; we say it in a line.
        nowhere = self._exit_stack.enter_context(open(os.devnull, "w"))  # noqa: SIM115
        self._exit_stack.enter_context(contextlib.redirect_stdout(nowhere))
        self._exit_stack.callback(ray.shutdown)
        try:
            ray.init(
                address=address or "local",
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            self._exit_stack.close()
            why = " ".join(str(error).split())
            raise EngineError(f"there is no Ray cluster at {address or 'hand'}: {why}") from None
        self._max_workers, self._use_gpu = workers, gpu
        self._queue: deque[_QueuedTask] = deque()
        self._in_flight: dict[Any, int] = {}

    @property
    def workers(self) -> int:  # type: ignore[override]
        return self._max_workers or max(
            1, int(self._cluster_total("GPU" if self._use_gpu else "CPU"))
        )

    def _cluster_total(self, kind: str) -> float:
        return float(self._ray.cluster_resources().get(kind, 0))

    def _cpus_per_worker(self) -> int:
        """Cores of one worker: no more than the largest machine has."""
        largest = max(
            (n["Resources"].get("CPU", 0) for n in self._ray.nodes() if n["Alive"]), default=1
        )
        return max(1, min(int(self._cluster_total("CPU")) // self.workers, int(largest)))

    def submit(self, task_id: int, task: Task, heartbeat_file: Path, urgent: bool) -> None:
        put = self._queue.appendleft if urgent else self._queue.append
        put((task_id, task, heartbeat_file))

    def cancel(self, task_id: int) -> None:
        self._queue = deque(errand for errand in self._queue if errand[0] != task_id)

    def wait(self, timeout: float) -> list[tuple[int, TaskResult]]:
        share = self._cpus_per_worker()
        remote = self._ray.remote(run_task).options(
            num_cpus=share,
            num_gpus=1 if self._use_gpu else 0,
            max_retries=0,  # what failed is given out again by who counts it
            scheduling_strategy="SPREAD",
        )
        while self._queue and len(self._in_flight) < self.workers:
            number, task, beat = self._queue.popleft()
            self._in_flight[remote.remote(task, beat, share)] = number
        ready, _ = self._ray.wait(list(self._in_flight), num_returns=1, timeout=timeout)
        return [(self._in_flight.pop(answer), self._get_result(answer)) for answer in ready]

    def _get_result(self, reference: Any) -> TaskResult:
        try:
            result: TaskResult = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return TaskResult("failed", error=_describe_crash(error))
        return result

    def close(self) -> None:
        for reference in self._in_flight:
            self._ray.cancel(reference, force=True)
        self._in_flight, self._queue = {}, deque()
        self._exit_stack.close()


def _check_reachable(address: str) -> None:
    """Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        why = error.strerror or str(error)
        raise EngineError(f"there is no Ray cluster at {address}: {why}") from None


def run_task(task: Task, heartbeat_file: Path, cpus: int) -> TaskResult:
    """In a process that Ray has chosen."""
    global _worker
    if _worker is None:
        _worker = Worker(cpus)
    return _worker.run(task, heartbeat_file)


def _describe_crash(error: Exception) -> str:
    words = " ".join(str(error).split()).partition(". ")[0].rstrip(".")
    return f"a worker died: {type(error).__name__}: {words}"
