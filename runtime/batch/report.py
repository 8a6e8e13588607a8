"""What is said of a pile of videos: a table at its end, and a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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

    def to_json(self) -> dict[str, Any]:
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
