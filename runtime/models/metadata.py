"""What a model file says of itself: the `cgt` entry of an ONNX file's metadata.

{"version": 1, "direction": "AtoB", "domains": ["horse", "zebra"], "size": [256, 256],
 "dynamic": true, "multiple": 4, "color": "RGB", "layout": "NCHW", "range": [-1, 1],
 "filter": "bilinear", "precision": "fp16", "norm": "instance", "io": "float", "statistics": 0,
 "profiles": [{"min": [1, 128, 128], "opt": [1, 256, 256], "max": [8, 1024, 1024]}],
 "architecture": {"kind": "resnet9", "ngf": 64, ...}, "parameters": 11378179,
 "checkpoint_sha256": "...", "parity": {"psnr_db": 61.2, "psnr_worst_db": 58.0, ...}}

io says what the tensors are, by position (names are for people):

    float    image N,3,H,W float32 RGB in [-1, 1]  ->  translated, the same
    uint8    image N,H,W,3 uint8 RGB               ->  translated, the same

norm "stream" adds a second tensor to both ends, N,S float32 with S = `statistics`:

    given    [0] is the weight w in [0, 1] of the rest, which holds, norm after norm, C means and
             C variances
    used     [0] = w, then the statistics that the network normalised with:
             w * given + (1 - w) * the picture's own

so w = 0 is instance normalisation, w = 1 with the statistics of the whole picture makes its tiles
agree, and feeding `used` back with 0 < w < 1 smooths over frames.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import ModelError
from ..image.preprocess import FILTERS, Filter
from . import sidecar
from .onnx_reader import FLOAT, UINT8, read_onnx_header

METADATA_KEY = "cgt"
METADATA_VERSION = 1

Direction = Literal["AtoB", "BtoA"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)

IOType = Literal["float", "uint8"]
IO_TYPES: tuple[IOType, ...] = get_args(IOType)


@dataclass(frozen=True)
class ModelMetadata:
    """An image translator as a file."""

    direction: Direction = "AtoB"
    domains: tuple[str, str] = ("A", "B")
    size: tuple[int, int] = (256, 256)  # height, width: trained at, or all it takes
    dynamic: bool = False  # other sizes too
    multiple: int = 1  # of which both sides must be
    filter: Filter = "bilinear"
    precision: str = "fp32"
    norm: str = "instance"  # instance, frozen, stream, batch, none or unknown
    io: IOType = "float"
    statistics: int = 0  # length of the statistics tensors; 0 where there are none
    # Ranges that engines are built for: "min", "opt" and "max", each batch, height, width. None:
    # whatever goes. All fixed: one with equal ends.
    profiles: tuple[dict[str, list[int]], ...] = ()
    architecture: dict[str, Any] = field(default_factory=dict)
    parameters: int = 0
    checkpoint_sha256: str = ""
    parity: dict[str, Any] = field(default_factory=dict)
    # What was measured of a student.
    distill_report: dict[str, Any] = field(default_factory=dict)

    @property
    def source_domain(self) -> str:
        return self.domains[0 if self.direction == "AtoB" else 1]

    @property
    def target_domain(self) -> str:
        return self.domains[1 if self.direction == "AtoB" else 0]

    def to_json(self) -> str:
        """The text of the metadata entry; the same artifact always gives the same text."""
        float_io = {"layout": "NCHW", "range": [-1, 1]}
        io_values = float_io if self.io == "float" else {"layout": "NHWC", "range": [0, 255]}
        fixed = {"version": METADATA_VERSION, "color": "RGB"} | io_values
        return json.dumps(fixed | dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelMetadata:
        """The inverse of `to_json`. Raises ModelError on text that is not it."""
        try:
            values = json.loads(text)
            version = values["version"]
            if version > METADATA_VERSION:
                raise ModelError("the model was exported by a newer version of cgt; upgrade")
            if "distilled" in values:  # until 0.1.0
                values["distill_report"] = values.pop("distilled")
            known = {f.name for f in dataclasses.fields(cls)}
            kept = {name: value for name, value in values.items() if name in known}
            kept["domains"] = tuple(kept["domains"])
            kept["size"] = tuple(kept["size"])
            kept["profiles"] = tuple(kept.get("profiles", ()))
            kept["distill_report"] = rename_skill(kept.get("distill_report", {}))
            metadata = cls(**kept)
        except (ValueError, TypeError, KeyError) as error:
            if isinstance(error, ModelError):
                raise
            raise ModelError(f"the model's cgt metadata is damaged ({error})") from None
        if (
            metadata.filter not in FILTERS
            or metadata.direction not in DIRECTIONS
            or metadata.io not in IO_TYPES
        ):
            raise ModelError("the model's cgt metadata is damaged (unknown filter, direction, io)")
        return metadata


def rename_skill(report: Any) -> Any:
    """Return a distillation report with the key `mse_skill`, which was `explained` until 0.1.0."""
    if not isinstance(report, dict):
        return report
    return {
        "mse_skill" if key == "explained" else key: rename_skill(value)
        for key, value in report.items()
    }


def read_metadata(path: Path) -> ModelMetadata:
    """What an ONNX file says of itself, or an engine's sidecar of it. A file of another tool says
    it by its shapes alone: a free side means any size, a fixed one the only size.

    Raises ModelError when the file is missing, not ONNX, or does not translate images.
    """
    if path.suffix in sidecar.ENGINE_SUFFIXES:
        return sidecar.read_sidecar(path).metadata
    file = read_onnx_header(path)
    image = file.inputs[0]
    io_by_elem_type: dict[int, tuple[IOType, int]] = {FLOAT: ("float", 1), UINT8: ("uint8", 3)}
    io, channel = io_by_elem_type.get(image.elem_type, ("float", -1))
    if len(image.dims) != 4 or channel < 0 or image.dims[channel] not in (3, None):
        raise ModelError(
            f"{path} does not take an image batch of N,3,H,W float32 or N,H,W,3 uint8; "
            "only such models can be translated with"
        )
    if METADATA_KEY in file.metadata:
        metadata = ModelMetadata.from_json(file.metadata[METADATA_KEY])
        if metadata.io != io or len(file.inputs) != 1 + bool(metadata.statistics):
            raise ModelError(
                f"{path} does not take what its metadata says: {metadata.io} tensors, float32 or "
                f"uint8, and {metadata.statistics} statistics; export it anew"
            )
        return metadata
    height, width = image.dims[2:] if io == "float" else image.dims[1:3]
    return ModelMetadata(
        size=(height or 256, width or 256),
        dynamic=height is None and width is None,
        multiple=1 if height and width else 4,
        norm="unknown",
        io=io,
    )
