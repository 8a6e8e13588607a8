"""Several videos, or one by several processes: `cgt translate --jobs`, `--ray`."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cgt.runtime.errors import CgtError, Interrupted, UsageError
from cgt.runtime.jobs.film import plan_film, say_what_is_not_cut
from cgt.runtime.jobs.ledger import Ledger
from cgt.runtime.jobs.pile import name_films
from cgt.runtime.jobs.pool import Pool
from cgt.runtime.jobs.run import Run
from cgt.runtime.progress import progress_bar
from cgt.runtime.sources import open_source
from cgt.runtime.stopping import stop_on_signal
from cgt.runtime.translation import Translation

from .piled import Report


@dataclass(frozen=True)
class Pile:
    """sources, out: as written. jobs: processes, or workers of Ray. ray: an address, "" for a local
    cluster, None without Ray. resume: keep what an earlier run has done."""

    sources: Sequence[str]
    out: str
    jobs: int | None = None
    ray: str | None = None
    resume: bool = False
    stats: Path | None = None


def translate_pile(pile: Pile, given: Translation) -> None:
    """Translate them all, say what became of them. Raises CgtError where a film failed, after all
    others are done; Interrupted after a signal, with what is finished kept."""
    named = name_films(pile.sources, pile.out, given.codec)
    alone = len(named) == 1 and named[0][1] == Path(pile.out).resolve()
    folder = named[0][1].parent if alone else Path(pile.out).resolve()
    if given.model is not None and Path(given.model).exists():
        given = dataclasses.replace(given, model=str(Path(given.model).resolve()))
    began = time.perf_counter()
    with Ledger(folder, pile.resume) as ledger:
        given, device = _settled(given, [source for source, _ in named])
        say_what_is_not_cut(given)
        films = [plan_film(source, target, given, ledger) for source, target in named]
        ledger.forget_all_but({film.key for film in films})
        # Ray minds signals while it starts.
        with _pool(pile, device) as pool, stop_on_signal() as stop:
            run = Run(films, given, pool, ledger)
            ready = time.perf_counter()
            with progress_bar("translating", sum(film.frames for film in films)) as bar:
                run.finish(stop, bar.reach)
            work, workers = time.perf_counter() - ready, pool.workers
    failed = [film for film in films if film.error]
    report = Report(films, time.perf_counter() - began, work, workers, run.retries)
    report.print()
    if pile.stats is not None:
        report.write(pile.stats)
    if stop.is_set():
        raise Interrupted(f"stopped; what is finished is kept in {folder}, --resume goes on")
    if failed:
        raise CgtError(f"{len(failed)} of {len(films)} videos failed; --resume tries these again")


def _settled(given: Translation, sources: Sequence[Path]) -> tuple[Translation, str]:
    """With the engine that all workers take, and its device. What is wrong with the model or the
    flags is found here, before any worker begins."""
    for number, path in enumerate(sources):
        try:
            source = open_source(str(path), stream=given.stream)
        except CgtError:
            if number + 1 < len(sources):
                continue
            raise
        with source, given.translator(source) as translator:
            name = given.engine if given.engine != "auto" else translator.engine.name
            return dataclasses.replace(given, engine=name), translator.engine.device
    raise UsageError("there is nothing to translate")


def _pool(pile: Pile, device: str) -> Pool:
    if pile.ray is None:
        from cgt.runtime.jobs.local import LocalPool

        return LocalPool(pile.jobs or 1)
    from cgt.runtime.jobs.ray import RayPool

    return RayPool(pile.ray, pile.jobs, gpu=device.upper().startswith(("CUDA", "GPU")))
