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
from .worker import Outcome, Worker

# Ray asks the internet for nothing, and hides no GPU from a worker that asked for none.
_SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
_Errand = tuple[int, Task, Path]
_worker: Worker | None = None  # of a process that Ray runs tasks in


class RayPool(Pool):
    """workers: how many at once; by default one for each core of the cluster, or for each GPU where
    the engine runs on one. address: HOST:PORT, "auto" for the cluster of this machine, or "" to
    start one here for this run.

    Raises MissingDependency without Ray, EngineError where no cluster answers.
    """

    def __init__(self, address: str = "", workers: int | None = None, gpu: bool = False) -> None:
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
        try:
            import ray
        except ImportError:
            raise MissingDependency(
                "--ray needs Ray: pip install 'cyclegan-toolkit[ray]'; or use --jobs"
            ) from None
        _knock(address)
        self._ray: Any = ray
        self._ending = contextlib.ExitStack()
        # What goes wrong in the cluster it prints, with pages of logs; we say it in a line.
        nowhere = self._ending.enter_context(open(os.devnull, "w"))  # noqa: SIM115
        self._ending.enter_context(contextlib.redirect_stdout(nowhere))
        self._ending.callback(ray.shutdown)
        try:
            ray.init(
                address=address or "local",
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            self._ending.close()
            why = " ".join(str(error).split())
            raise EngineError(f"there is no Ray cluster at {address or 'hand'}: {why}") from None
        self._most, self._gpu = workers, gpu
        self._waiting: deque[_Errand] = deque()
        self._out: dict[Any, int] = {}

    @property
    def workers(self) -> int:  # type: ignore[override]
        return self._most or max(1, int(self._total("GPU" if self._gpu else "CPU")))

    def _total(self, kind: str) -> float:
        return float(self._ray.cluster_resources().get(kind, 0))

    def _share(self) -> int:
        """Cores of one worker: no more than the largest machine has."""
        largest = max(
            (n["Resources"].get("CPU", 0) for n in self._ray.nodes() if n["Alive"]), default=1
        )
        return max(1, min(int(self._total("CPU")) // self.workers, int(largest)))

    def submit(self, number: int, task: Task, beat: Path, urgent: bool) -> None:
        put = self._waiting.appendleft if urgent else self._waiting.append
        put((number, task, beat))

    def withdraw(self, number: int) -> None:
        self._waiting = deque(errand for errand in self._waiting if errand[0] != number)

    def wait(self, seconds: float) -> list[tuple[int, Outcome]]:
        share = self._share()
        remote = self._ray.remote(do_task).options(
            num_cpus=share,
            num_gpus=1 if self._gpu else 0,
            max_retries=0,  # what failed is given out again by who counts it
            scheduling_strategy="SPREAD",
        )
        while self._waiting and len(self._out) < self.workers:
            number, task, beat = self._waiting.popleft()
            self._out[remote.remote(task, beat, share)] = number
        ready, _ = self._ray.wait(list(self._out), num_returns=1, timeout=seconds)
        return [(self._out.pop(answer), self._outcome(answer)) for answer in ready]

    def _outcome(self, answer: Any) -> Outcome:
        try:
            outcome: Outcome = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            return Outcome("failed", error=_told(error))
        return outcome

    def close(self) -> None:
        for answer in self._out:
            self._ray.cancel(answer, force=True)
        self._out, self._waiting = {}, deque()
        self._ending.close()


def _knock(address: str) -> None:
    """Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        why = error.strerror or str(error)
        raise EngineError(f"there is no Ray cluster at {address}: {why}") from None


def do_task(task: Task, beat: Path, share: int) -> Outcome:
    """In a process that Ray has chosen."""
    global _worker
    if _worker is None:
        _worker = Worker(share)
    return _worker.do(task, beat)


def _told(error: Exception) -> str:
    words = " ".join(str(error).split()).partition(". ")[0].rstrip(".")
    return f"a worker died: {type(error).__name__}: {words}"
