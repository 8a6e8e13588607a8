"""Catalog of the served models, and the selection of model, size and precision by clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cgt.runtime.engines import read_model_metadata
from cgt.runtime.errors import UsageError
from cgt.runtime.image.geometry import (
    Geometry,
    SizeSpec,
    format_size,
    parse_size,
    plan_geometry,
)
from cgt.runtime.models.metadata import ModelMetadata
from cgt.runtime.models.third_party import ModelFormat

from .api.errors import HttpError

PRECISIONS = ("auto", "fp32")
"""Precisions that a client may select.

auto is the fastest one on this machine. fp32 keeps all floats in FP32; layers that are INT8 in the
file of the model stay INT8.
"""

MAX_NETWORK_PIXELS = 1024 * 1024  # limit of the network input that a client may select


@dataclass(frozen=True)
class ModelSelection:
    """Selection of a client.

    Attributes:
        model: Name in the catalog.
        size: Size of the network input, see `SizeSpec`.
        precision: One of PRECISIONS.
    """

    model: str
    size: SizeSpec = None
    precision: str = "auto"


@dataclass(frozen=True)
class ServedModel:
    """Model that the server offers under a name."""

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
    """Models of one server.

    Args:
        paths: ONNX files. The file name without its suffix is the name of the model.
        model_format: What the user says about models of other tools.

    Raises:
        ModelError: A file is not a model.
        UsageError: Two files have the same name, or `model_format` contradicts one.
    """

    def __init__(self, paths: Sequence[Path], model_format: ModelFormat | None = None) -> None:
        self.model_format = model_format
        self.models: dict[str, ServedModel] = {}
        for path in paths:
            if path.stem in self.models:
                other = self.models[path.stem].path
                raise UsageError(f"{path} and {other} have the same name; rename one of them")
            self.models[path.stem] = ServedModel(
                path.stem, path, read_model_metadata(path, model_format)
            )

    @property
    def default(self) -> ModelSelection:
        """Selection of the first model with its own size and precision."""
        return ModelSelection(next(iter(self.models)))

    def parse_selection(self, params: Mapping[str, str]) -> ModelSelection:
        """Return the selection that the parameters of a request make.

        Args:
            params: `model`, `size` and `precision`, all optional. Other keys are ignored.

        Raises:
            HttpError: 404 for an unknown model, 400 for another invalid value.
        """
        name = params.get("model", self.default.model)
        if name not in self.models:
            raise HttpError(404, f"unknown model; choose one of {', '.join(self.models)}")
        precision = params.get("precision", "auto")
        if precision not in PRECISIONS:
            raise HttpError(400, f"precision must be one of {', '.join(PRECISIONS)}")
        selection = ModelSelection(name, _parse_requested_size(params.get("size")), precision)
        self.geometry(selection, self.models[name].metadata.size)
        return selection

    def geometry(self, selection: ModelSelection, frame_size: tuple[int, int]) -> Geometry:
        """Return the geometry of frames under a selection.

        Args:
            selection: What the client selected.
            frame_size: (height, width) of the frames.

        Raises:
            HttpError: 400 if the model does not take the size, or if it exceeds
                MAX_NETWORK_PIXELS.
        """
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
                f"{format_size(geometry.tensor_size)} is more than {MAX_NETWORK_PIXELS} pixels; "
                "choose a smaller size",
            )
        return geometry
