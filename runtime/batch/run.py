"""Batch runs: several videos, or one video by several workers (`--jobs`, `--ray`)."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..api import TranslateOptions
from ..errors import CgtError, Interrupted, UsageError
from ..sources import open_source
from ..utils.progress import progress_bar
from ..utils.signals import stop_on_signal
from .inputs import plan_outputs
from .manifest import JobManifest
from .pool import Pool
from .report import BatchReport
from .scheduler import BatchScheduler
from .video_job import plan_video, warn_if_not_splittable


@dataclass(frozen=True)
class BatchOptions:
    """Inputs, output and workers of a batch.

    Attributes:
        sources: video files, folders and wildcards, as the user wrote them.
        output: a folder, or a video file for one input.
        workers: number of worker processes or Ray workers; None for the default.
        ray_address: address of a Ray cluster, "" to start one here, None to use local processes.
        resume: keep what an earlier run finished.
    """

    sources: Sequence[str]
    output: str
    workers: int | None = None
    ray_address: str | None = None
    resume: bool = False


def run_batch(
    batch: BatchOptions,
    options: TranslateOptions,
    on_done: Callable[[BatchReport], None] = lambda report: None,
) -> None:
    """Translate all videos of a batch with a progress bar.

    Args:
        batch: inputs, output and workers.
        options: what to do with each video.
        on_done: is called with the report before an error is raised.

    Raises:
        CgtError: a video failed. All other videos are finished first.
        Interrupted: a signal stopped the run. Finished videos and segments are kept.
    """
    planned = plan_outputs(batch.sources, batch.output, options.codec)
    single_file = len(planned) == 1 and planned[0][1] == Path(batch.output).resolve()
    output_dir = planned[0][1].parent if single_file else Path(batch.output).resolve()
    if options.model is not None and Path(options.model).exists():
        options = dataclasses.replace(options, model=str(Path(options.model).resolve()))
    started_at = time.perf_counter()
    with JobManifest(output_dir, batch.resume) as manifest:
        options, uses_gpu = _resolve_engine(options, [source for source, _ in planned])
        warn_if_not_splittable(options)
        videos = [plan_video(source, target, options, manifest) for source, target in planned]
        manifest.prune({video.key for video in videos})
        # The pool comes first: Ray installs its own signal handlers while it starts.
        with _open_pool(batch, uses_gpu) as pool, stop_on_signal() as stop:
            scheduler = BatchScheduler(videos, options, pool, manifest)
            ready_at = time.perf_counter()
            with progress_bar("translating", sum(video.frame_count for video in videos)) as bar:
                scheduler.run(stop, bar.set_completed)
            work_s, workers = time.perf_counter() - ready_at, pool.workers
    failed = [video for video in videos if video.error]
    report = BatchReport(
        videos, time.perf_counter() - started_at, work_s, workers, scheduler.retries
    )
    on_done(report)
    if stop.is_set():
        raise Interrupted(f"stopped; finished work is kept in {output_dir}, --resume continues it")
    if failed:
        raise CgtError(f"{len(failed)} of {len(videos)} videos failed; --resume retries them")


def _resolve_engine(
    options: TranslateOptions, sources: Sequence[Path]
) -> tuple[TranslateOptions, bool]:
    """Return the options with the engine that all workers use, and whether it runs on a GPU.

    This opens the model once, so that a wrong model or flag fails before any worker starts.
    """
    for number, path in enumerate(sources):
        try:
            source = open_source(str(path), stream=options.stream)
        except CgtError:
            if number + 1 < len(sources):
                continue
            raise
        with source, options.open_translator(source) as translator:
            engine = translator.engine
            name = options.engine if options.engine != "auto" else engine.name
            uses_gpu = name == "tensorrt" or engine.device.upper().startswith(("CUDA", "GPU"))
            return dataclasses.replace(options, engine=name), uses_gpu
    raise UsageError("there is nothing to translate")


def _open_pool(batch: BatchOptions, uses_gpu: bool) -> Pool:
    if batch.ray_address is None:
        from .local_pool import LocalPool

        return LocalPool(batch.workers or 1)
    from .ray_pool import RayPool

    return RayPool(batch.ray_address, batch.workers, gpu=uses_gpu)
