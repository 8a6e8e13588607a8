"""One film of a pile, from its file to its tasks."""

from __future__ import annotations

import importlib.metadata
import itertools
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from ..api import TranslateOptions
from ..errors import SourceError
from ..inference.translator import resolve_model
from ..sources.segments import MIN_SEGMENT_S
from ..sources.video import FFmpegInput, VideoSource
from ..utils.cache import cached_sha256, short_hash
from ..utils.log import warn_user
from .manifest import JobManifest
from .tasks import ConcatSegments, Task, TranslateSegment, TranslateVideo


@dataclass
class VideoJob:
    """source, target: absolute. key: see ledger. frames: to come, as far as one can tell; then how
    many came. parts: files of its pieces, in order; none where it is done in one go. error: why it
    failed, one line. tries: of its task that was tried most often."""

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
    worker_seconds: float = 0.0  # of workers
    warnings: list[str] = field(default_factory=list)

    @property
    def segment_files(self) -> list[Path]:
        return (
            [self.work_dir / f"{i:05d}.part" for i in range(len(self.boundaries) + 1)]
            if self.boundaries
            else []
        )

    def initial_tasks(self, options: TranslateOptions) -> list[Task]:
        """What to begin with: its parts, without those that are there, or all in one go."""
        if not self.boundaries:
            return [TranslateVideo(self.source, self.work_dir / self.target.name, options)]
        ends = itertools.pairwise((None, *self.boundaries, None))
        return [
            TranslateSegment(self.source, path, options, self.target, first, end)
            for path, (first, end) in zip(self.segment_files, ends, strict=True)
            if not path.exists()
        ]

    def concat_task(self, options: TranslateOptions) -> Task:
        """What to do when all parts are there."""
        return ConcatSegments(
            self.source, self.work_dir / self.target.name, options, tuple(self.segment_files)
        )


def plan_video(
    source: Path, target: Path, options: TranslateOptions, manifest: JobManifest
) -> VideoJob:
    """Look at a file: is it finished, how long is it, where may it be cut? A file that is no video
    is a film with an error."""
    try:
        key = _job_key(source, target, options)
        job = VideoJob(source, target, key, skipped=manifest.is_finished(target, key))
        if job.skipped:
            return job
        with VideoSource(
            FFmpegInput(str(source), str(source)), options.audio, options.stream
        ) as opened:
            job.frame_count = options.expected_frames(opened) or 0
            if options_allow_splitting(options):
                job.boundaries = tuple(opened.find_segment_boundaries())
    except (SourceError, OSError) as error:
        why = str(error) if isinstance(error, SourceError) else f"{source}: {error.strerror}"
        return VideoJob(source, target, "", error=why)
    job.work_dir = manifest.work_dir(key)
    return job


def options_allow_splitting(options: TranslateOptions) -> bool:
    """Whether frames can be translated without those before them."""
    return not (
        options.deflicker or options.frames or options.duration or options.max_fps or options.start
    )


def warn_if_not_splittable(options: TranslateOptions) -> None:
    """By the name of the flag."""
    if not options_allow_splitting(options):
        flags = ("deflicker", "frames", "duration", "max_fps", "start")
        flag_name = next(flag for flag in flags if getattr(options, flag)).replace("_", "-")
        warn_user(f"--{flag_name} goes from frame to frame: no film is cut, each is one worker's")


def _job_key(source: Path, target: Path, options: TranslateOptions) -> str:
    model = resolve_model(options.model)
    found = source.stat()
    versions = [importlib.metadata.version(name) for name in ("av", "cyclegan-toolkit")]
    return short_hash(
        *(source, found.st_size, found.st_mtime_ns, target.name, MIN_SEGMENT_S),
        *(options.job_key, cached_sha256(model) if model.is_file() else "", *versions),
    )
