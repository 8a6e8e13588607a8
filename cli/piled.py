"""What is said of a pile of videos: a table at its end, and a file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from cgt.runtime.errors import SinkError
from cgt.runtime.files import whole_file
from cgt.runtime.jobs.film import Film


@dataclass(frozen=True)
class Report:
    """seconds: of everything; work: of these, with the workers at it. retries: tasks that were
    given to a worker again."""

    films: list[Film]
    seconds: float
    work: float
    workers: int
    retries: int

    def print(self) -> None:
        """On stderr; what failed comes last."""
        done = [film for film in self.films if film.done]
        frames = sum(film.frames for film in done)
        skipped = sum(film.skipped for film in self.films)
        again = f", {self.retries} tasks tried again" if self.retries else ""
        speed = f"{frames / self.seconds:.1f} frames/s"
        table = Table.grid(padding=(0, 2))
        table.add_row(
            "videos", f"{len(done)} done" + (f", {skipped} were there" if skipped else "")
        )
        table.add_row("frames", f"{frames} in {self.seconds:.1f} s, {speed}")
        table.add_row("workers", f"{self.workers}{again}")
        Console(stderr=True).print(table)
        for film in self.films:
            if film.error:
                click.secho(f"failed: {film.error}", fg="red", err=True)

    def write(self, path: Path) -> None:
        """Everything as JSON. Raises SinkError where it cannot be written."""
        try:
            with whole_file(path) as temporary:
                temporary.write_text(json.dumps(self._to_json(), indent=1) + "\n")
        except OSError as error:
            raise SinkError(f"cannot write {path}: {error.strerror}") from None

    def _to_json(self) -> dict[str, Any]:
        return {
            "seconds": self.seconds,
            "seconds_of_work": self.work,
            "workers": self.workers,
            "retries": self.retries,
            "videos": [
                {
                    "source": str(film.source),
                    "target": str(film.target),
                    "frames": film.frames,
                    "parts": len(film.parts) or 1,
                    "worker_seconds": film.seconds,
                    "tries": film.tries,
                    "done": film.done,
                    "skipped": film.skipped,
                    "error": film.error,
                }
                for film in self.films
            ],
        }
