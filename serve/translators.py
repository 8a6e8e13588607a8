"""Translators for every choice and picture size, over one engine for each model and precision."""

from __future__ import annotations

import threading
from collections import OrderedDict

from cgt.runtime.closing import Closing
from cgt.runtime.engines import BatchShape, Engine, open_engine
from cgt.runtime.preprocess import U8
from cgt.runtime.translator import Translator

from .catalog import Catalog, Choice

_KEPT = 32  # translators, each a few MiB of arrays


class Translators(Closing):
    """Engines are opened once, for all sizes: clients choose them, and an engine for each would
    cost seconds, memory and disk. That is 5 % slower than fixed shapes (bundled model, OpenVINO).

    `open` may be called by any thread, `translate` by one.
    """

    def __init__(self, catalog: Catalog, engine: str = "auto") -> None:
        self._catalog, self._engine = catalog, engine
        self._engines: dict[tuple[str, str], Engine] = {}
        self._translators: OrderedDict[tuple[Choice, tuple[int, int]], Translator] = OrderedDict()
        self._opening = threading.Lock()

    def open(self, choice: Choice) -> Engine:
        """The engine for a choice. Takes seconds where it is the first of its kind; raises what
        `open_engine` raises."""
        key = choice.model, choice.precision
        with self._opening:
            if key not in self._engines:
                model = self._catalog.models[choice.model]
                sides = (0, 0) if model.artifact.dynamic else model.artifact.size
                shape = BatchShape.of(model.artifact, *sides)
                precision = None if choice.precision == "auto" else choice.precision
                self._engines[key] = open_engine(
                    model.path, shape, self._engine, "latency", precision
                )
            return self._engines[key]

    def translate(self, choice: Choice, picture: U8) -> U8:
        """uint8 HWC RGB in and out. Raises Refusal where the choice does not suit the picture, and
        EngineError."""
        height, width = picture.shape[:2]
        key = choice, (height, width)
        translator = self._translators.get(key)
        if translator is None:
            self._catalog.geometry(choice, (height, width))
            translator = Translator(
                self._catalog.models[choice.model].path,
                engine=self.open(choice),
                size=choice.size,
                frame=(height, width),
            )
            self._translators[key] = translator
            while len(self._translators) > _KEPT:
                self._translators.popitem(last=False)
        self._translators.move_to_end(key)
        return translator(picture)

    def close(self) -> None:
        self._translators.clear()
        with self._opening:
            while self._engines:
                self._engines.popitem()[1].close()
