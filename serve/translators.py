"""Translators for every choice and picture size, over one engine for each model and precision."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from cgt.runtime.closing import Closing
from cgt.runtime.engines import BatchShape, Engine, open_engine
from cgt.runtime.errors import EngineError, ModelError
from cgt.runtime.preprocess import U8
from cgt.runtime.translator import Translator

from .batching import MOST, Gains
from .catalog import Catalog, Choice

_KEPT = 32  # translators, each a few MiB of arrays


@dataclass(frozen=True)
class Engines:
    """Of one model in one precision. many: takes MOST pictures at once, and gains from `least` on;
    None where it never does."""

    one: Engine
    many: Engine | None = None
    least: int = 0


class Translators(Closing):
    """Engines are opened once, for all sizes: clients choose them, and an engine for each would
    cost seconds, memory and disk. That is 5 % slower than fixed shapes (bundled model, OpenVINO).

    `open` may be called by any thread, `translate` by one.
    """

    def __init__(self, catalog: Catalog, engine: str = "auto") -> None:
        self._catalog, self._engine = catalog, engine
        self._engines: dict[tuple[str, str], Engines] = {}
        self._translators: OrderedDict[tuple[Choice, tuple[int, int], int], Translator]
        self._translators = OrderedDict()
        self._opening = threading.Lock()

    def open(self, choice: Choice) -> Engine:
        """The engine for a choice. Takes seconds where it is the first of its kind; raises what
        `open_engine` raises."""
        key = choice.model, choice.precision
        with self._opening:
            if key not in self._engines:
                self._engines[key] = self._opened(choice)
            return self._engines[key].one

    def _opened(self, choice: Choice) -> Engines:
        model = self._catalog.models[choice.model]
        sides = (0, 0) if model.artifact.dynamic else model.artifact.size
        precision = None if choice.precision == "auto" else choice.precision
        shape, batch = (BatchShape.of(model.artifact, *sides, count) for count in (1, MOST))
        one = open_engine(model.path, shape, self._engine, "latency", precision)
        gains = Gains(model.path, one)
        if gains.known == 0:
            return Engines(one)
        try:
            name = one.name if self._engine == "auto" else self._engine
            many = open_engine(model.path, batch, name, "latency", precision)
        except (ModelError, EngineError):  # it takes one picture at a time
            return Engines(one)
        least = gains.known or gains.measured(one, many, shape, batch)
        if least == 0:
            many.close()
            return Engines(one)
        return Engines(one, many, least)

    def together(self, choice: Choice) -> tuple[int, int]:
        """The least and the most pictures that it is worth translating at once; 1, 1 for none."""
        engines = self._engines.get((choice.model, choice.precision))
        return (engines.least, MOST) if engines and engines.many else (1, 1)

    def translate(self, choice: Choice, pictures: Sequence[U8]) -> list[U8]:
        """uint8 HWC RGB in and out: one picture, or as many as `together` says, of one size. Raises
        Refusal where the choice does not suit them, and EngineError."""
        self.open(choice)
        engines = self._engines[choice.model, choice.precision]
        height, width = pictures[0].shape[:2]
        if len(pictures) == 1 or engines.many is None:
            translator = self._translator(choice, (height, width), engines.one, 1)
        else:
            translator = self._translator(choice, (height, width), engines.many, MOST)
        return translator.timed(pictures)[0]

    def _translator(
        self, choice: Choice, frame: tuple[int, int], engine: Engine, batch: int
    ) -> Translator:
        key = choice, frame, batch
        if key not in self._translators:
            self._catalog.geometry(choice, frame)
            path = self._catalog.models[choice.model].path
            self._translators[key] = Translator(
                path, engine=engine, size=choice.size, frame=frame, batch=batch
            )
            while len(self._translators) > _KEPT:
                self._translators.popitem(last=False)
        self._translators.move_to_end(key)
        return self._translators[key]

    def close(self) -> None:
        self._translators.clear()
        with self._opening:
            while self._engines:
                engines = self._engines.popitem()[1]
                engines.one.close()
                if engines.many:
                    engines.many.close()
