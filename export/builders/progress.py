"""What the builder says of its progress, as bars."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn


@contextmanager
def progress_monitor(api: ModuleType, stop: threading.Event) -> Iterator[Any]:
    """An IProgressMonitor of `api` (tensorrt or tensorrt_rtx): a bar for each phase under way, on
    a terminal. Setting `stop` ends the build at its next step."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())

    class Monitor(api.IProgressMonitor):  # type: ignore[misc, name-defined]
        """Called by several threads of the builder; Progress locks for itself."""

        def __init__(self) -> None:
            api.IProgressMonitor.__init__(self)
            self.tasks: dict[str, TaskID] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            label = f"  {phase_name}" if parent_phase else phase_name
            self.tasks[phase_name] = progress.add_task(label, total=num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self.tasks:
                progress.update(self.tasks[phase_name], completed=step + 1)
            return not stop.is_set()

        def phase_finish(self, phase_name: str) -> None:
            task = self.tasks.pop(phase_name, None)
            if task is not None:
                progress.remove_task(task)

    with Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True
    ) as progress:
        yield Monitor()
