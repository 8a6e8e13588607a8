"""Pool of translators: one engine per model and precision, one translator per selection and size.

For each engine the pool measures once whether batches of frames are faster, and caches the result.
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
from cgt.runtime.errors import CgtError
from cgt.runtime.image.preprocess import U8
from cgt.runtime.inference.translator import Translator
from cgt.runtime.utils.cache import JsonCache, cached_sha256, cpu_name, short_hash
from cgt.runtime.utils.closeable import Closeable

from ..models import ModelCatalog, ModelSelection

MAX_BATCH = 4  # frames
_MAX_RELATIVE_TIME = 0.85  # a batch must take at most this share of the time of single frames
_MAX_TRANSLATORS = 32  # each holds a few MiB of arrays


class BatchSpeedup:
    """Cached measurement of whether one engine of one model is faster with batches."""

    def __init__(self, model_path: Path, engine: Engine) -> None:
        self._cache = JsonCache("batches.json")
        machine = cpu_name(), available_cpus(), engine.name, engine.device, engine.precision
        self._key = short_hash(cached_sha256(model_path), *machine, MAX_BATCH)

    @property
    def cached_min_batch(self) -> int | None:
        """Result of an earlier `measure_min_batch`; None without one."""
        found = self._cache.get(self._key)
        return found if isinstance(found, int) else None

    def measure_min_batch(
        self,
        single_engine: Engine,
        batch_engine: Engine,
        single_shape: BatchShape,
        batch_shape: BatchShape,
    ) -> int:
        """Measure and cache the smallest number of frames for which the batch engine is faster.

        Takes a few seconds at most.

        Args:
            single_engine: Engine of one frame.
            batch_engine: Engine of MAX_BATCH frames. It takes fewer frames in the same time.
            single_shape: Input shape of `single_engine`, with the size to measure.
            batch_shape: Input shape of `batch_engine`, likewise.

        Returns:
            2 to MAX_BATCH, or 0 if batches are never faster.

        Raises:
            CgtError: An engine does not take its shape.
        """
        single_time, batch_time = (
            measure_frame_time(single_engine, single_shape),
            measure_frame_time(batch_engine, batch_shape) * MAX_BATCH,
        )
        min_batch = max(2, math.ceil(batch_time / (single_time * _MAX_RELATIVE_TIME)))
        found = min_batch if min_batch <= MAX_BATCH else 0
        self._cache.put(self._key, found)
        return found


@dataclass(frozen=True)
class EnginePair:
    """Engines of one model in one precision.

    Attributes:
        single: Engine of one frame.
        batched: Engine of MAX_BATCH frames; None if it is never faster.
        min_batch: Number of frames from which `batched` is faster.
    """

    single: Engine
    batched: Engine | None = None
    min_batch: int = 0


class TranslatorPool(Closeable):
    """Translators of all selections.

    An engine is opened once for all sizes. Clients choose the sizes, and an engine for each size
    would cost seconds, memory and disk. This is 5 % slower than fixed shapes (bundled model,
    OpenVINO). Any thread may call `get_engine`, but only one thread `translate`.

    Args:
        catalog: The models.
        engine_name: Name of the engine, or "auto" for the fastest.
    """

    def __init__(self, catalog: ModelCatalog, engine_name: str = "auto") -> None:
        self._catalog, self._engine_name = catalog, engine_name
        self._engines: dict[tuple[str, str], EnginePair] = {}
        self._translators: OrderedDict[tuple[ModelSelection, tuple[int, int], int], Translator]
        self._translators = OrderedDict()
        self._engines_lock = threading.Lock()

    def get_engine(self, selection: ModelSelection) -> Engine:
        """Return the engine of a selection. Takes seconds if it is not open yet.

        Raises:
            CgtError: Any error of `open_engine`.
        """
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
        except CgtError:  # the model takes one frame at a time
            return EnginePair(single)
        size = model.metadata.size
        try:
            min_batch = speedup.cached_min_batch or speedup.measure_min_batch(
                single, batched, single_shape.with_size(*size), batch_shape.with_size(*size)
            )
        except CgtError:  # an engine with profiles, none of which is for such a batch
            min_batch = 0
        if min_batch == 0:
            batched.close()
            return EnginePair(single)
        return EnginePair(single, batched, min_batch)

    def batch_range(self, selection: ModelSelection) -> tuple[int, int]:
        """Return the minimum and maximum size of batches that are faster; (1, 1) without any."""
        engines = self._engines.get((selection.model, selection.precision))
        return (engines.min_batch, MAX_BATCH) if engines and engines.batched else (1, 1)

    def translate(self, selection: ModelSelection, images: Sequence[U8]) -> list[U8]:
        """Translate one frame, or a batch within `batch_range`.

        Args:
            selection: Model, size and precision.
            images: uint8 HWC RGB, or with the channels of the model; all of the same size.

        Returns:
            Translations, uint8 HWC with the channels of the model.

        Raises:
            HttpError: The selection does not suit the size of the images.
            EngineError: The engine failed.
        """
        self.get_engine(selection)
        engines = self._engines[selection.model, selection.precision]
        height, width = images[0].shape[:2]
        if len(images) == 1 or engines.batched is None:
            engine, batch = engines.single, 1
        else:
            engine, batch = engines.batched, MAX_BATCH
        translator = self._get_translator(selection, (height, width), engine, batch)
        return translator.translate_batch(images)[0]

    def _get_translator(
        self, selection: ModelSelection, frame_size: tuple[int, int], engine: Engine, batch: int
    ) -> Translator:
        key = selection, frame_size, batch
        if key not in self._translators:
            self._catalog.geometry(selection, frame_size)
            path = self._catalog.models[selection.model].path
            self._translators[key] = Translator(
                path,
                engine=engine,
                size=selection.size,
                frame_size=frame_size,
                batch=batch,
                model_format=self._catalog.model_format,
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
