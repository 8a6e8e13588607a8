"""What a client may choose: a model, the size it works at, its precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cgt.runtime.artifact import Artifact
from cgt.runtime.engines import read_model
from cgt.runtime.errors import UsageError
from cgt.runtime.geometry import Geometry, Size, parse_size, plan

from .refusals import Refusal

PRECISIONS = ("auto", "fp32")
"""auto: what is fastest, as the engine reports it. fp32: floats are not rounded to fewer bits; what
is INT8 in a model's file stays so."""

MAX_PIXELS = 1024 * 1024  # that a client may have go through a network


@dataclass(frozen=True)
class Choice:
    """A model by its name in the catalog; size as in `geometry.Size`; one of PRECISIONS."""

    model: str
    size: Size = None
    precision: str = "auto"


@dataclass(frozen=True)
class Model:
    """A model that is served."""

    name: str
    path: Path
    artifact: Artifact


def _size(text: str | None) -> Size:
    if text is None:
        return None
    try:
        return parse_size(text[:20] if text.isascii() else "?", "size")
    except UsageError as error:
        raise Refusal(400, str(error)) from None


class Catalog:
    """The models of one server, by the names of their files without suffix.

    Raises ModelError for a file that is none, UsageError for two of one name.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.models: dict[str, Model] = {}
        for path in paths:
            if path.stem in self.models:
                other = self.models[path.stem].path
                raise UsageError(f"{path} and {other} would have one name; rename one of them")
            self.models[path.stem] = Model(path.stem, path, read_model(path))

    @property
    def default(self) -> Choice:
        """The first model as it is."""
        return Choice(next(iter(self.models)))

    def choice(self, asked: Mapping[str, str]) -> Choice:
        """From a client's `model`, `size` and `precision`, all optional; other keys are ignored.

        Raises Refusal: 404 for an unknown model, 400 for the others.
        """
        name = asked.get("model", self.default.model)
        if name not in self.models:
            raise Refusal(404, f"there is no such model; there are {', '.join(self.models)}")
        precision = asked.get("precision", "auto")
        if precision not in PRECISIONS:
            raise Refusal(400, f"precision must be one of {', '.join(PRECISIONS)}")
        choice = Choice(name, _size(asked.get("size")), precision)
        self.geometry(choice, self.models[name].artifact.size)
        return choice

    def geometry(self, choice: Choice, frame: tuple[int, int]) -> Geometry:
        """Of a frame (height, width) under a choice. Raises Refusal (400) where the model does not
        take that size, or it is above MAX_PIXELS."""
        try:
            geometry = plan(frame, self.models[choice.model].artifact, choice.size)
        except UsageError as error:
            raise Refusal(400, str(error)) from None
        height, width = geometry.tensor
        if height * width > MAX_PIXELS:
            raise Refusal(
                400, f"{height}x{width} is more than {MAX_PIXELS} pixels; choose a smaller size"
            )
        return geometry
