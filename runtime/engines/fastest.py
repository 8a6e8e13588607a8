"""`--engine auto`: the fastest of those that are installed, measured once and remembered."""

from __future__ import annotations

import importlib.metadata
import time
from pathlib import Path

import numpy as np

from ..cache import Remembered, cpu_name, digest, file_digest
from ..errors import CgtError, EngineError, MissingDependency, ModelError
from ..notes import note
from ..preprocess import F32
from .base import Array, BatchShape, Engine, Goal, cores

_REPEATS = 5
_SECONDS = 0.5  # of runs, for each engine


def open_fastest(
    path: Path, shape: BatchShape, names: tuple[str, ...], goal: Goal, precision: str | None
) -> Engine:
    """The fastest of `names`. What fails or is not installed is passed over.

    Raises the first error where none is left.
    """
    from . import ENGINES, open_engine

    if len(names) == 1:
        return open_engine(path, shape, names[0], goal, precision)
    installed, first_error = [], None
    for name in names:
        try:
            ENGINES[name].load()
            installed.append(name)
        except MissingDependency as error:
            first_error = first_error or error
    if not installed:
        assert first_error is not None
        raise first_error
    if len(installed) == 1 or not path.is_file():
        return open_engine(path, shape, installed[0], goal, precision)
    memory, key = Remembered("engines.json"), _key(path, installed, goal, precision)
    known = memory.get(key)
    if isinstance(known, str) and known in installed:
        return open_engine(path, shape, known, goal, precision)
    return _measured(path, shape, installed, goal, precision, memory, key)


def _measured(
    path: Path,
    shape: BatchShape,
    names: list[str],
    goal: Goal,
    precision: str | None,
    memory: Remembered,
    key: str,
) -> Engine:
    from . import open_engine

    best: Engine | None = None
    times: dict[str, float] = {}
    first_error: CgtError | None = None
    for name in names:
        try:
            engine = open_engine(path, shape, name, goal, precision)
        except (ModelError, EngineError) as error:
            first_error = first_error or error
            continue
        try:
            times[name] = run_time(engine, shape)
        except EngineError as error:
            first_error = first_error or error
            engine.close()
            continue
        if best is None or times[name] < times[best.name]:
            if best is not None:
                best.close()
            best = engine
        else:
            engine.close()
    if best is None:
        assert first_error is not None
        raise first_error
    if len(times) > 1:
        figures = ", ".join(f"{name} {seconds * 1e3:.3g} ms" for name, seconds in times.items())
        kept = "remembered" if memory.put(key, best.name) else "not remembered: no cache folder"
        note(f"measured: {figures} a frame; {kept}")
    return best


def run_time(engine: Engine, shape: BatchShape) -> float:
    """Seconds of the fastest of a few runs of noise, one at a time, by frame."""
    height, width = (shape.height, shape.width) if shape.fixed else (256, 256)
    shape = BatchShape(shape.count, shape.channels, height, width, shape.io, shape.statistics)
    random = np.random.default_rng(0)
    batch: Array
    if shape.io == "uint8":
        batch = random.integers(0, 256, shape.image, np.uint8)
    else:
        batch = random.uniform(-1, 1, shape.image).astype(np.float32)
    out = np.empty_like(batch)
    statistics: tuple[()] | tuple[F32, F32] = ()
    if shape.statistics:
        given = np.zeros((shape.count, shape.statistics), np.float32)
        statistics = (given, np.empty_like(given))
    engine.infer(batch, out, *statistics)
    best, end = float("inf"), time.perf_counter() + _SECONDS
    for _ in range(_REPEATS):
        began = time.perf_counter()
        engine.infer(batch, out, *statistics)
        done = time.perf_counter()
        best = min(best, done - began)
        if done > end:
            break
    return best / shape.count


def _key(path: Path, names: list[str], goal: Goal, precision: str | None) -> str:
    versions = [f"{name} {_version(name)}" for name in names]
    return digest(file_digest(path), cpu_name(), cores(), goal, precision, *versions)


def _version(name: str) -> str:
    for package in (name, f"{name}-gpu"):
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""
