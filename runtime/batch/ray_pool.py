"""Pool of workers on a Ray cluster (`--ray`). Only file names and results travel."""

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

# Ray sends no usage statistics, and hides no GPU from a worker that requested none.
_RAY_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
_QueuedTask = tuple[int, Task, Path]
_worker: Worker | None = None  # in a process that Ray runs tasks in


class RayPool(Pool):
    """Workers of a Ray cluster.

    Args:
        address: HOST:PORT, "auto" for the cluster of this machine, or "" to start a cluster on
            this machine for this run.
        workers: number of concurrent tasks; by default one per core of the cluster, or per GPU.
        gpu: the engine runs on a GPU.

    Raises:
        MissingDependency: Ray is not installed.
        EngineError: no cluster answers at the address.
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
        # Ray prints pages of logs for each failure in the cluster; cgt prints one line.
        devnull = self._exit_stack.enter_context(open(os.devnull, "w"))  # noqa: SIM115
        self._exit_stack.enter_context(contextlib.redirect_stdout(devnull))
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
            where = f"there is no Ray cluster at {address}" if address else "Ray does not start"
            raise EngineError(f"{where}: {why}") from None
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
        """Return the cores of one worker, at most those of the largest machine."""
        largest = max(
            (n["Resources"].get("CPU", 0) for n in self._ray.nodes() if n["Alive"]), default=1
        )
        return max(1, min(int(self._cluster_total("CPU")) // self.workers, int(largest)))

    def submit(self, task_id: int, task: Task, heartbeat_file: Path, urgent: bool) -> None:
        put = self._queue.appendleft if urgent else self._queue.append
        put((task_id, task, heartbeat_file))

    def cancel(self, task_id: int) -> None:
        self._queue = deque(queued for queued in self._queue if queued[0] != task_id)

    def wait(self, timeout_s: float) -> list[tuple[int, TaskResult]]:
        cpus = self._cpus_per_worker()
        remote = self._ray.remote(run_task).options(
            num_cpus=cpus,
            num_gpus=1 if self._use_gpu else 0,
            max_retries=0,  # the scheduler counts and retries failures
            scheduling_strategy="SPREAD",
        )
        while self._queue and len(self._in_flight) < self.workers:
            task_id, task, heartbeat_file = self._queue.popleft()
            self._in_flight[remote.remote(task, heartbeat_file, cpus)] = task_id
        ready, _ = self._ray.wait(list(self._in_flight), num_returns=1, timeout=timeout_s)
        return [(self._in_flight.pop(ref), self._get_result(ref)) for ref in ready]

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
    """Raise EngineError at once if nothing listens there; Ray itself would retry for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        why = error.strerror or str(error)
        raise EngineError(f"there is no Ray cluster at {address}: {why}") from None


def run_task(task: Task, heartbeat_file: Path, cpus: int) -> TaskResult:
    """Run a task in a process that Ray has chosen."""
    global _worker
    if _worker is None:
        _worker = Worker(cpus)
    return _worker.run(task, heartbeat_file)


def _describe_crash(error: Exception) -> str:
    words = " ".join(str(error).split()).partition(". ")[0].rstrip(".")
    return f"a worker died: {type(error).__name__}: {words}"
