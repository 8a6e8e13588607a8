"""Several videos, or one by several processes: `cgt translate --jobs`, `--ray`."""

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
    """sources, out: as written. jobs: processes, or workers of Ray. ray: an address, "" for a local
    cluster, None without Ray. resume: keep what an earlier run has done."""

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
    """Translate them all, say what became of them. Raises CgtError where a film failed, after all
    others are done; Interrupted after a signal, with what is finished kept."""
    planned = plan_outputs(batch.sources, batch.output, options.codec)
    single_file = len(planned) == 1 and planned[0][1] == Path(batch.output).resolve()
    output_dir = planned[0][1].parent if single_file else Path(batch.output).resolve()
    if options.model is not None and Path(options.model).exists():
        options = dataclasses.replace(options, model=str(Path(options.model).resolve()))
    started_at = time.perf_counter()
    with JobManifest(output_dir, batch.resume) as manifest:
        options, device = _resolve_engine(options, [source for source, _ in planned])
        warn_if_not_splittable(options)
        videos = [plan_video(source, target, options, manifest) for source, target in planned]
        manifest.prune({video.key for video in videos})
        # Ray minds signals while it starts.
        with _open_pool(batch, device) as pool, stop_on_signal() as stop:
            scheduler = BatchScheduler(videos, options, pool, manifest)
            ready_at = time.perf_counter()
            with progress_bar("translating", sum(film.frame_count for film in videos)) as bar:
                scheduler.run(stop, bar.set_completed)
            work_s, workers = time.perf_counter() - ready_at, pool.workers
    failed = [film for film in videos if film.error]
    report = BatchReport(
        videos, time.perf_counter() - started_at, work_s, workers, scheduler.retries
    )
    on_done(report)
    if stop.is_set():
        raise Interrupted(f"stopped; what is finished is kept in {output_dir}, --resume goes on")
    if failed:
        raise CgtError(f"{len(failed)} of {len(videos)} videos failed; --resume tries these again")


def _resolve_engine(
    options: TranslateOptions, sources: Sequence[Path]
) -> tuple[TranslateOptions, str]:
    """With the engine that all workers take, and its device. What is wrong with the model or the
    flags is found here, before any worker begins."""
    for number, path in enumerate(sources):
        try:
            source = open_source(str(path), stream=options.stream)
        except CgtError:
            if number + 1 < len(sources):
                continue
            raise
        with source, options.open_translator(source) as translator:
            engine_name = options.engine if options.engine != "auto" else translator.engine.name
            return dataclasses.replace(options, engine=engine_name), translator.engine.device
    raise UsageError("there is nothing to translate")


def _open_pool(batch: BatchOptions, device: str) -> Pool:
    if batch.ray_address is None:
        from .local_pool import LocalPool

        return LocalPool(batch.workers or 1)
    from .ray_pool import RayPool

    return RayPool(batch.ray_address, batch.workers, gpu=device.upper().startswith(("CUDA", "GPU")))
