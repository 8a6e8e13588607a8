"""Several videos, or one by several processes: `cgt translate --jobs`, `--ray`."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from cgt.runtime.errors import CgtError, Interrupted, SinkError, UsageError
from cgt.runtime.files import whole_file
from cgt.runtime.jobs.film import Film, plan_film, say_what_is_not_cut
from cgt.runtime.jobs.ledger import Ledger
from cgt.runtime.jobs.pile import name_films
from cgt.runtime.jobs.pool import Pool
from cgt.runtime.jobs.run import Run
from cgt.runtime.progress import progress_bar
from cgt.runtime.sources import open_source
from cgt.runtime.stopping import stop_on_signal
from cgt.runtime.translation import Translation


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
            with progress_bar("translating", sum(film.frames for film in films)) as bar:
                run.finish(stop, bar.reach)
            workers = pool.workers
    seconds = time.perf_counter() - began
    failed = [film for film in films if film.error]
    _print(films, seconds, workers, run.retries)
    if pile.stats is not None:
        _write(pile.stats, films, seconds, workers, run.retries)
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


def _print(films: list[Film], seconds: float, workers: int, retries: int) -> None:
    done = [film for film in films if not film.error and not film.skipped]
    frames = sum(film.frames for film in done)
    skipped = sum(film.skipped for film in films)
    rows = [
        ("videos", f"{len(done)} done" + (f", {skipped} were there" if skipped else "")),
        ("frames", f"{frames} in {seconds:.1f} s, {frames / seconds:.1f} frames/s"),
        ("workers", f"{workers}" + (f", {retries} tasks tried again" if retries else "")),
    ]
    table = Table.grid(padding=(0, 2))
    for row in rows:
        table.add_row(*row)
    Console(stderr=True).print(table)
    for film in films:
        if film.error:
            click.secho(f"failed: {film.error}", fg="red", err=True)


def _write(path: Path, films: list[Film], seconds: float, workers: int, retries: int) -> None:
    facts: dict[str, Any] = {"seconds": seconds, "workers": workers, "retries": retries}
    facts["videos"] = [
        {
            "source": str(film.source),
            "target": str(film.target),
            "frames": film.frames,
            "parts": len(film.parts) or 1,
            "worker_seconds": film.seconds,
            "skipped": film.skipped,
            "error": film.error,
        }
        for film in films
    ]
    try:
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(facts, indent=1) + "\n")
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}") from None
