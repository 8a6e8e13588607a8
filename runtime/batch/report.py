"""Report of a batch: status and timing of each video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .video_job import VideoJob


@dataclass(frozen=True)
class BatchReport:
    """The result of a batch.

    Attributes:
        videos: all videos of the batch, with their status.
        total_s: duration of the whole run in seconds.
        work_s: the part of `total_s` in which workers ran.
        workers: number of workers at the end.
        retries: number of tasks that were started again after a failure.
    """

    videos: list[VideoJob]
    total_s: float
    work_s: float
    workers: int
    retries: int

    def to_json(self) -> dict[str, Any]:
        """Return JSON types: totals, and one entry per video."""
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
                    "segments": len(video.segment_files) or 1,
                    "worker_seconds": video.worker_seconds,
                    "tries": video.attempts,
                    "done": video.done,
                    "skipped": video.skipped,
                    "error": video.error,
                }
                for video in self.videos
            ],
        }
