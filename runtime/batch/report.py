"""What is said of a pile of videos: a table at its end, and a file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from ..errors import SinkError
from ..utils.atomic import atomic_write
from .video_job import VideoJob


@dataclass(frozen=True)
class BatchReport:
    """seconds: of everything; work: of these, with the workers at it. retries: tasks that were
    given to a worker again."""

    videos: list[VideoJob]
    total_s: float
    work_s: float
    workers: int
    retries: int

    def print_summary(self) -> None:
        """On stderr; what failed comes last."""
        done = [video for video in self.videos if video.done]
        frames = sum(film.frame_count for film in done)
        skipped = sum(film.skipped for film in self.videos)
        retried = f", {self.retries} tasks tried again" if self.retries else ""
        speed = f"{frames / self.total_s:.1f} frames/s"
        table = Table.grid(padding=(0, 2))
        table.add_row(
            "videos", f"{len(done)} done" + (f", {skipped} were there" if skipped else "")
        )
        table.add_row("frames", f"{frames} in {self.total_s:.1f} s, {speed}")
        table.add_row("workers", f"{self.workers}{retried}")
        Console(stderr=True).print(table)
        for film in self.videos:
            if film.error:
                click.secho(f"failed: {film.error}", fg="red", err=True)

    def write_json(self, path: Path) -> None:
        """Everything as JSON. Raises SinkError where it cannot be written."""
        try:
            with atomic_write(path) as temporary:
                temporary.write_text(json.dumps(self._to_json(), indent=1) + "\n")
        except OSError as error:
            raise SinkError(f"cannot write {path}: {error.strerror}") from None

    def _to_json(self) -> dict[str, Any]:
        return {
            "seconds": self.total_s,
            "seconds_of_work": self.work_s,
            "workers": self.workers,
            "retries": self.retries,
            "videos": [
                {
                    "source": str(video.source),
                    "target": str(video.target),
                    "frames": video.frame_count,
                    "parts": len(video.segment_files) or 1,
                    "worker_seconds": video.worker_seconds,
                    "tries": video.attempts,
                    "done": video.done,
                    "skipped": video.skipped,
                    "error": video.error,
                }
                for video in self.videos
            ],
        }
