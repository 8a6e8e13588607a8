"""Console for text of users, and a progress bar on a terminal.

Rich would take [...] in a path for markup and :name: for an emoji. `open_console` prints all text
as it is; a test checks that no other module opens a console.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


def open_console(stderr: bool = False) -> Console:
    """Return a console that prints text as it is: no markup, emoji codes or highlighting."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


class ProgressBar:
    """Handle through which a running task updates its bar."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def advance(self) -> None:
        self._progress.advance(self._task)

    def set_completed(self, completed: int) -> None:
        """Set the number of finished units; it may decrease when work has to be repeated."""
        self._progress.update(self._task, completed=completed)

    def set_postfix(self, text: str) -> None:
        """Show a text after the bar, such as the current losses."""
        self._progress.update(self._task, note=text)


class _RateColumn(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        text = f"{speed:.1f} {self.unit}/s" if speed >= 1 else f"{1 / speed:.1f} s/{self.unit}"
        return Text(text, style="cyan")


@contextmanager
def progress_bar(
    label: str, total: int | None, completed: int = 0, unit: str = "frame"
) -> Iterator[ProgressBar]:
    """Show a bar with count, rate and remaining time on stderr.

    Args:
        label: text before the bar.
        total: number of units, or None if unknown.
        completed: units that are finished already.
        unit: name of one unit, for the rate.
    """
    console = open_console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}" if total else "{task.completed:.0f}"),
        _RateColumn(unit),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield ProgressBar(
            progress, progress.add_task(label, total=total, completed=completed, note="")
        )
