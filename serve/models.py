"""What a client may choose: a model, the size it works at, its precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cgt.runtime.engines import read_model_metadata
from cgt.runtime.errors import UsageError
from cgt.runtime.image.geometry import Geometry, SizeSpec, parse_size, plan_geometry
from cgt.runtime.models.metadata import ModelMetadata

from .api.errors import HttpError

PRECISIONS = ("auto", "fp32")
"""auto: what is fastest, as the engine reports it. fp32: floats are not rounded to fewer bits; what
is INT8 in a model's file stays so."""

MAX_NETWORK_PIXELS = 1024 * 1024  # that a client may have go through a network


@dataclass(frozen=True)
class ModelSelection:
    """A model by its name in the catalog; size as in `geometry.Size`; one of PRECISIONS."""

    model: str
    size: SizeSpec = None
    precision: str = "auto"


@dataclass(frozen=True)
class ServedModel:
    """A model that is served."""

    name: str
    path: Path
    metadata: ModelMetadata


def _parse_requested_size(text: str | None) -> SizeSpec:
    if text is None:
        return None
    try:
        return parse_size(text[:20] if text.isascii() else "?", "size")
    except UsageError as error:
        raise HttpError(400, str(error)) from None


class ModelCatalog:
    """The models of one server, by the names of their files without suffix.

    Raises ModelError for a file that is none, UsageError for two of one name.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.models: dict[str, ServedModel] = {}
        for path in paths:
            if path.stem in self.models:
                other = self.models[path.stem].path
                raise UsageError(f"{path} and {other} would have one name; rename one of them")
            self.models[path.stem] = ServedModel(path.stem, path, read_model_metadata(path))

    @property
    def default(self) -> ModelSelection:
        """The first model as it is."""
        return ModelSelection(next(iter(self.models)))

    def parse_selection(self, params: Mapping[str, str]) -> ModelSelection:
        """From a client's `model`, `size` and `precision`, all optional; other keys are ignored.

        Raises Refusal: 404 for an unknown model, 400 for the others.
        """
        name = params.get("model", self.default.model)
        if name not in self.models:
            raise HttpError(404, f"there is no such model; there are {', '.join(self.models)}")
        precision = params.get("precision", "auto")
        if precision not in PRECISIONS:
            raise HttpError(400, f"precision must be one of {', '.join(PRECISIONS)}")
        selection = ModelSelection(name, _parse_requested_size(params.get("size")), precision)
        self.geometry(selection, self.models[name].metadata.size)
        return selection

    def geometry(self, selection: ModelSelection, frame_size: tuple[int, int]) -> Geometry:
        """Of a frame (height, width) under a choice. Raises Refusal (400) where the model does not
        take that size, or it is above MAX_PIXELS."""
        try:
            geometry = plan_geometry(
                frame_size, self.models[selection.model].metadata, selection.size
            )
        except UsageError as error:
            raise HttpError(400, str(error)) from None
        height, width = geometry.tensor_size
        if height * width > MAX_NETWORK_PIXELS:
            raise HttpError(
                400,
                f"{height}x{width} is more than {MAX_NETWORK_PIXELS} pixels; choose a smaller size",
            )
        return geometry
