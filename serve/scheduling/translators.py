"""Translators for every choice and picture size, over one engine for each model and precision.

Whether an engine gains from several pictures at once: measured once for each, and remembered.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cgt.runtime.engines import BatchShape, Engine, available_cpus, open_engine
from cgt.runtime.engines.auto import measure_frame_time
from cgt.runtime.errors import EngineError, ModelError
from cgt.runtime.image.preprocess import U8
from cgt.runtime.inference.translator import Translator
from cgt.runtime.utils.cache import JsonCache, cached_sha256, cpu_name, short_hash
from cgt.runtime.utils.closeable import Closeable

from ..models import ModelCatalog, ModelSelection

MAX_BATCH = 4  # pictures at once
_MAX_RELATIVE_TIME = (
    0.85  # of the time that they take one by one: what is worth their waiting for each other
)


class BatchSpeedup:
    """What was found out about one engine of one model."""

    def __init__(self, model_path: Path, engine: Engine) -> None:
        self._cache = JsonCache("batches.json")
        machine = cpu_name(), available_cpus(), engine.name, engine.device, engine.precision
        self._key = short_hash(cached_sha256(model_path), *machine, MAX_BATCH)

    @property
    def cached_min_batch(self) -> int | None:
        """See `measured`; None where that was not done yet."""
        found = self._cache.get(self._key)
        return found if isinstance(found, int) else None

    def measure_min_batch(
        self,
        single_engine: Engine,
        batch_engine: Engine,
        single_shape: BatchShape,
        batch_shape: BatchShape,
    ) -> int:
        """From how many pictures on `many`, an engine of MOST, takes less time than `one` for each
        of them; 0 where it never does. Seconds of work at most."""
        single_time, batch_time = (
            measure_frame_time(single_engine, single_shape),
            measure_frame_time(batch_engine, batch_shape) * MAX_BATCH,
        )
        min_batch = max(2, math.ceil(batch_time / (single_time * _MAX_RELATIVE_TIME)))
        found = min_batch if min_batch <= MAX_BATCH else 0
        self._cache.put(self._key, found)
        return found


_MAX_TRANSLATORS = 32  # translators, each a few MiB of arrays


@dataclass(frozen=True)
class EnginePair:
    """Of one model in one precision. many: takes MOST pictures at once, and gains from `least` on;
    None where it never does."""

    single: Engine
    batched: Engine | None = None
    min_batch: int = 0


class TranslatorPool(Closeable):
    """Engines are opened once, for all sizes: clients choose them, and an engine for each would
    cost seconds, memory and disk. That is 5 % slower than fixed shapes (bundled model, OpenVINO).

    `open` may be called by any thread, `translate` by one.
    """

    def __init__(self, catalog: ModelCatalog, engine_name: str = "auto") -> None:
        self._catalog, self._engine_name = catalog, engine_name
        self._engines: dict[tuple[str, str], EnginePair] = {}
        self._translators: OrderedDict[tuple[ModelSelection, tuple[int, int], int], Translator]
        self._translators = OrderedDict()
        self._engines_lock = threading.Lock()

    def get_engine(self, selection: ModelSelection) -> Engine:
        """The engine for a choice. Takes seconds where it is the first of its kind; raises what
        `open_engine` raises."""
        key = selection.model, selection.precision
        with self._engines_lock:
            if key not in self._engines:
                self._engines[key] = self._open_engines(selection)
            return self._engines[key].single

    def _open_engines(self, selection: ModelSelection) -> EnginePair:
        model = self._catalog.models[selection.model]
        input_size = (0, 0) if model.metadata.dynamic else model.metadata.size
        precision = None if selection.precision == "auto" else selection.precision
        single_shape, batch_shape = (
            BatchShape.from_metadata(model.metadata, *input_size, count) for count in (1, MAX_BATCH)
        )
        single = open_engine(model.path, single_shape, self._engine_name, "latency", precision)
        speedup = BatchSpeedup(model.path, single)
        if speedup.cached_min_batch == 0:
            return EnginePair(single)
        try:
            name = single.name if self._engine_name == "auto" else self._engine_name
            batched = open_engine(model.path, batch_shape, name, "latency", precision)
        except (ModelError, EngineError):  # it takes one picture at a time
            return EnginePair(single)
        min_batch = speedup.cached_min_batch or speedup.measure_min_batch(
            single, batched, single_shape, batch_shape
        )
        if min_batch == 0:
            batched.close()
            return EnginePair(single)
        return EnginePair(single, batched, min_batch)

    def batch_range(self, selection: ModelSelection) -> tuple[int, int]:
        """The least and the most pictures that it is worth translating at once; 1, 1 for none."""
        engines = self._engines.get((selection.model, selection.precision))
        return (engines.min_batch, MAX_BATCH) if engines and engines.batched else (1, 1)

    def translate(self, selection: ModelSelection, images: Sequence[U8]) -> list[U8]:
        """uint8 HWC RGB in and out: one picture, or as many as `together` says, of one size. Raises
        Refusal where the choice does not suit them, and EngineError."""
        self.get_engine(selection)
        engines = self._engines[selection.model, selection.precision]
        height, width = images[0].shape[:2]
        if len(images) == 1 or engines.batched is None:
            translator = self._get_translator(selection, (height, width), engines.single, 1)
        else:
            translator = self._get_translator(
                selection, (height, width), engines.batched, MAX_BATCH
            )
        return translator.translate_batch(images)[0]

    def _get_translator(
        self, selection: ModelSelection, frame_size: tuple[int, int], engine: Engine, batch: int
    ) -> Translator:
        key = selection, frame_size, batch
        if key not in self._translators:
            self._catalog.geometry(selection, frame_size)
            path = self._catalog.models[selection.model].path
            self._translators[key] = Translator(
                path, engine=engine, size=selection.size, frame_size=frame_size, batch=batch
            )
            while len(self._translators) > _MAX_TRANSLATORS:
                self._translators.popitem(last=False)
        self._translators.move_to_end(key)
        return self._translators[key]

    def close(self) -> None:
        self._translators.clear()
        with self._engines_lock:
            while self._engines:
                engines = self._engines.popitem()[1]
                engines.single.close()
                if engines.batched:
                    engines.batched.close()
