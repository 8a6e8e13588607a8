"""One video of a batch: its plan, tasks and status."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from ..api import TranslateOptions
from ..errors import SourceError
from ..inference.translator import resolve_model
from ..sources.segments import MIN_SEGMENT_S
from ..sources.video import VideoSource, file_input
from ..utils.cache import cached_sha256, short_hash
from ..utils.log import warn_user
from ..utils.system import package_version
from .manifest import JobManifest
from .tasks import ConcatSegments, Task, TranslateSegment, TranslateVideo


@dataclass
class VideoJob:
    """Plan and status of one video.

    Attributes:
        source: absolute path of the input video.
        target: absolute path of the output video.
        key: hash of everything that the output depends on; see `manifest`.
        frame_count: expected number of frames; after the end, the number written.
        boundaries: times in seconds where segments begin; empty for a video in one task.
        work_dir: folder of unfinished work.
        skipped: an earlier run has finished it.
        done: this run has finished it.
        error: why it failed, one line.
        attempts: largest number of attempts at one of its tasks.
        worker_seconds: total time of all workers.
        warnings: messages of the workers, each once.
    """

    source: Path
    target: Path
    key: str
    frame_count: int = 0
    boundaries: tuple[Fraction, ...] = ()
    work_dir: Path = Path()
    skipped: bool = False
    done: bool = False
    error: str = ""
    attempts: int = 0
    worker_seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)

    @property
    def segment_files(self) -> list[Path]:
        """The files of the segments, in order; empty for a video in one task."""
        if not self.boundaries:
            return []
        return [self.work_dir / f"{i:05d}.part" for i in range(len(self.boundaries) + 1)]

    def initial_tasks(self, options: TranslateOptions) -> list[Task]:
        """Return the tasks to start with: missing segments, or the whole video."""
        if not self.boundaries:
            return [TranslateVideo(self.source, self.work_dir / self.target.name, options)]
        ends = itertools.pairwise((None, *self.boundaries, None))
        return [
            TranslateSegment(self.source, path, options, self.target, start, end)
            for path, (start, end) in zip(self.segment_files, ends, strict=True)
            if not path.exists()
        ]

    def concat_task(self, options: TranslateOptions) -> Task:
        """Return the task that joins all segments."""
        return ConcatSegments(
            self.source, self.work_dir / self.target.name, options, tuple(self.segment_files)
        )


def plan_video(
    source: Path, target: Path, options: TranslateOptions, manifest: JobManifest
) -> VideoJob:
    """Inspect a video: whether it is finished, its length, its segment boundaries.

    A file that cannot be read becomes a job with an error.
    """
    try:
        key = _job_key(source, target, options)
        job = VideoJob(source, target, key, skipped=manifest.is_finished(target, key))
        if job.skipped:
            return job
        with VideoSource(file_input(source), options.audio, options.stream) as opened:
            job.frame_count = options.expected_frames(opened) or 0
            if options_allow_splitting(options):
                job.boundaries = tuple(opened.find_segment_boundaries())
    except (SourceError, OSError) as error:
        why = str(error) if isinstance(error, SourceError) else f"{source}: {error.strerror}"
        return VideoJob(source, target, "", error=why)
    job.work_dir = manifest.work_dir(key)
    return job


def options_allow_splitting(options: TranslateOptions) -> bool:
    """Return whether a frame can be translated without the frames before it."""
    return not (
        options.deflicker or options.frames or options.duration or options.max_fps or options.start
    )


def warn_if_not_splittable(options: TranslateOptions) -> None:
    """Warn that a flag prevents the split into segments."""
    if not options_allow_splitting(options):
        flags = ("deflicker", "frames", "duration", "max_fps", "start")
        flag_name = next(flag for flag in flags if getattr(options, flag)).replace("_", "-")
        warn_user(
            f"--{flag_name} depends on earlier frames: no video is split into segments, "
            "each is translated by one worker"
        )


def _job_key(source: Path, target: Path, options: TranslateOptions) -> str:
    model = resolve_model(options.model)
    stat = source.stat()
    versions = [package_version(name) for name in ("av", "cyclegan-toolkit")]
    return short_hash(
        *(source, stat.st_size, stat.st_mtime_ns, target.name, MIN_SEGMENT_S),
        *(options.job_key, cached_sha256(model) if model.is_file() else "", *versions),
    )
