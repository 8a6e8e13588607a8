"""Selection of the fastest installed engine (`--engine auto`), measured once and cached."""

from __future__ import annotations

import contextlib
import importlib.util
import time
from pathlib import Path

import numpy as np

from ..errors import CgtError, EngineError, MissingDependency, ModelError
from ..image.preprocess import F32
from ..utils.cache import JsonCache, cached_sha256, short_hash
from ..utils.log import warn_user
from ..utils.system import available_cpus, cpu_name
from .base import BatchShape, Engine, PerformanceHint
from .cuda import cuda_driver_version, list_gpus

_MAX_RUNS = 5
_TIME_BUDGET_S = 0.5  # for the runs of one engine


def open_fastest(
    path: Path,
    shape: BatchShape,
    names: tuple[str, ...],
    performance_hint: PerformanceHint,
    precision: str | None,
) -> Engine:
    """Open the fastest of the named engines; skip those that fail or are not installed.

    Raises:
        CgtError: the first error, if no engine is left.
    """
    from . import ENGINES, open_engine

    if len(names) == 1:
        return open_engine(path, shape, names[0], performance_hint, precision)
    cached = cached_choice(path, names, performance_hint, precision)
    if cached is not None:
        with contextlib.suppress(MissingDependency):  # found, but its files are damaged
            return open_engine(path, shape, cached, performance_hint, precision)
    cache = JsonCache("engines.json")
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
        return open_engine(path, shape, installed[0], performance_hint, precision)
    key = _cache_key(path, installed, performance_hint, precision)
    return _measure_and_open(path, shape, installed, performance_hint, precision, cache, key)


def cached_choice(
    path: Path, names: tuple[str, ...], performance_hint: PerformanceHint, precision: str | None
) -> str | None:
    """Return the engine that was measured to be the fastest; None if it has to be measured.

    It imports no library, which would take longer than loading a compiled model.
    """
    found = [name for name in names if importlib.util.find_spec(name) is not None]
    if len(found) < 2 or not path.is_file():
        return found[0] if found else None
    cached = JsonCache("engines.json").get(_cache_key(path, found, performance_hint, precision))
    return cached if isinstance(cached, str) and cached in found else None


def _measure_and_open(
    path: Path,
    shape: BatchShape,
    names: list[str],
    performance_hint: PerformanceHint,
    precision: str | None,
    cache: JsonCache,
    key: str,
) -> Engine:
    from . import open_engine

    best: Engine | None = None
    times: dict[str, float] = {}
    first_error: CgtError | None = None
    for name in names:
        try:
            engine = open_engine(path, shape, name, performance_hint, precision)
        except (ModelError, EngineError) as error:
            first_error = first_error or error
            continue
        try:
            times[name] = measure_frame_time(engine, shape)
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
        cache_note = "cached" if cache.put(key, best.name) else "not cached: no cache folder"
        warn_user(f"measured: {figures} per frame; {cache_note}")
    return best


def measure_frame_time(engine: Engine, shape: BatchShape) -> float:
    """Return the time per frame in seconds: the minimum of a few sequential runs on noise."""
    if not shape.is_static:
        shape = shape.with_size(*engine.probe_size)
    random = np.random.default_rng(0)
    batch, out = shape.allocate()
    if shape.io == "uint8":
        batch[...] = random.integers(0, 256, shape.image_shape, np.uint8)
    else:
        batch[...] = random.uniform(-1, 1, shape.image_shape)
    statistics: tuple[()] | tuple[F32, F32] = ()
    if shape.statistics:
        statistics_in = np.zeros((shape.batch_size, shape.statistics), np.float32)
        statistics = (statistics_in, np.empty_like(statistics_in))
    engine.infer(batch, out, *statistics)
    best, end = float("inf"), time.perf_counter() + _TIME_BUDGET_S
    for _ in range(_MAX_RUNS):
        started_at = time.perf_counter()
        engine.infer(batch, out, *statistics)
        finished_at = time.perf_counter()
        best = min(best, finished_at - started_at)
        if finished_at > end:
            break
    return best / shape.batch_size


def _cache_key(
    path: Path, names: list[str], performance_hint: PerformanceHint, precision: str | None
) -> str:
    gpus = [f"{gpu.name} {gpu.multiprocessors} {cuda_driver_version()}" for gpu in list_gpus()]
    return short_hash(
        *(cached_sha256(path), cpu_name(), available_cpus(), performance_hint, precision),
        *map(_library_identity, names),
        *gpus,
    )


def _library_identity(name: str) -> str:
    """Return a text that changes when the library of an engine is installed again.

    Its version would do, but takes ten times as long to find out.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return name
    return f"{name} {spec.origin} {Path(spec.origin).stat().st_mtime_ns}"
