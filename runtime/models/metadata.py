"""Model metadata: the entry `cgt` in the metadata of an ONNX file.

{"version": 1, "direction": "AtoB", "domains": ["horse", "zebra"], "size": [256, 256],
 "dynamic": true, "multiple": 4, "color": "RGB", "layout": "NCHW", "range": [-1, 1],
 "filter": "bilinear", "precision": "fp16", "norm": "instance", "io": "float", "statistics": 0,
 "in_channels": 3, "out_channels": 3,
 "profiles": [{"min": [1, 128, 128], "opt": [1, 256, 256], "max": [8, 1024, 1024]}],
 "architecture": {"kind": "resnet9", "ngf": 64, ...}, "parameters": 11378179,
 "checkpoint_sha256": "...", "parity": {"psnr_db": 61.2, "psnr_worst_db": 58.0, ...}}

`io` describes the tensors, by position (their names have no meaning):

    float    image N,C,H,W float32 RGB in [-1, 1]  ->  translated, the same
    uint8    image N,H,W,C uint8 RGB               ->  translated, the same

C is 3, or 1 for gray, or 4 for RGB with alpha (not multiplied by it). A model of another tool has
none of this; `third_party` describes its tensors.

The norm "stream" adds a second input and a second output, N,S float32 with S = `statistics`:

    statistics_in     [0] is the weight w in [0, 1] of the rest, which has C means and C variances
                      for each norm layer
    statistics_out    [0] = w, then the statistics that the network used:
                      w * statistics_in + (1 - w) * statistics of the image

With w = 0 this is instance normalization. With w = 1 and the statistics of the whole image, its
tiles agree. Feeding statistics_out back with 0 < w < 1 smooths over frames.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import ModelError, UsageError
from ..image.preprocess import FILTERS, Filter
from . import sidecar
from .onnx_reader import FLOAT, UINT8, OnnxHeader, read_onnx_header
from .third_party import (
    IMAGE_CHANNELS,
    ModelFormat,
    ThirdPartyTensors,
    describe_third_party,
)

METADATA_KEY = "cgt"
METADATA_VERSION = 1

Direction = Literal["AtoB", "BtoA"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)

Upsampling = Literal["guided", "detail", "bicubic", "none"]
UPSAMPLING_METHODS: tuple[Upsampling, ...] = get_args(Upsampling)

Origin = Literal["", "cgt", "imported", "code"]

IOType = Literal["float", "uint8"]
IO_TYPES: tuple[IOType, ...] = get_args(IOType)


@dataclass(frozen=True)
class ModelMetadata:
    """Description of an exported image translator.

    Attributes:
        direction: "AtoB" or "BtoA".
        domains: names of the domains A and B.
        size: (height, width) of the training images, or the only size that the model accepts.
        dynamic: the model accepts other sizes too.
        multiple: both sides of the input must be multiples of it.
        filter: resize filter of training.
        precision: "fp32", "fp16", "bf16" or "int8".
        norm: "instance", "frozen", "stream", "batch", "none" or "unknown".
        io: "float" or "uint8" tensors.
        statistics: length of the statistics tensors; 0 for a model without them.
        in_channels, out_channels: channels of the images: 1 (gray), 3 (RGB) or 4 (with alpha).
        third_party: tensors of a model of another tool; None for those that `io` describes.
        upsampling: method of upsampling that suits the model; None is "guided".
        profiles: ranges that engines are built for: "min", "opt" and "max", each [batch, height,
            width]. Empty for the default ranges; for a fixed shape, one profile with equal values.
        architecture: configuration of the generator.
        origin: what defines the network: "cgt" for a checkpoint of cgt, "imported" for cgt's
            reading of another file, "code" for another project's code, whose class is in
            `architecture`; empty in older models.
        parameters: number of parameters.
        checkpoint_sha256: SHA-256 of the checkpoint file.
        parity: comparison with PyTorch at the time of export.
        distill_report: measurements of a distilled student.
    """

    direction: Direction = "AtoB"
    domains: tuple[str, str] = ("A", "B")
    size: tuple[int, int] = (256, 256)
    dynamic: bool = False
    multiple: int = 1
    filter: Filter = "bilinear"
    precision: str = "fp32"
    norm: str = "instance"
    io: IOType = "float"
    statistics: int = 0
    in_channels: int = 3
    out_channels: int = 3
    third_party: ThirdPartyTensors | None = None
    upsampling: Upsampling | None = None
    profiles: tuple[dict[str, list[int]], ...] = ()
    architecture: dict[str, Any] = field(default_factory=dict)
    origin: Origin = ""
    parameters: int = 0
    checkpoint_sha256: str = ""
    parity: dict[str, Any] = field(default_factory=dict)
    distill_report: dict[str, Any] = field(default_factory=dict)

    @property
    def source_domain(self) -> str:
        """Name of the domain of the input."""
        return self.domains[0 if self.direction == "AtoB" else 1]

    @property
    def target_domain(self) -> str:
        """Name of the domain of the output."""
        return self.domains[1 if self.direction == "AtoB" else 0]

    def to_json(self) -> str:
        """Return the text of the metadata entry; equal metadata gives equal text."""
        float_io = {"layout": "NCHW", "range": [-1, 1]}
        io_values = float_io if self.io == "float" else {"layout": "NHWC", "range": [0, 255]}
        fixed = {"version": METADATA_VERSION, "color": "RGB"} | io_values
        values = dataclasses.asdict(self)
        if self.third_party is None:
            del values["third_party"]
        if self.upsampling is None:
            del values["upsampling"]
        return json.dumps(fixed | values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelMetadata:
        """Parse the text of `to_json`, also of older versions.

        Raises:
            ModelError: the text is damaged, or from a newer version.
        """
        try:
            values = json.loads(text)
            version = values["version"]
            if version > METADATA_VERSION:
                raise ModelError("the model was exported by a newer version of cgt; upgrade")
            if "distilled" in values:  # written before version 0.1.0
                values["distill_report"] = values.pop("distilled")
            known = {f.name for f in dataclasses.fields(cls)}
            kept = {name: value for name, value in values.items() if name in known}
            kept["domains"] = tuple(kept["domains"])
            kept["size"] = tuple(kept["size"])
            kept["profiles"] = tuple(kept.get("profiles", ()))
            for name in ("in_channels", "out_channels"):  # older files have none
                kept.setdefault(name, kept.get("architecture", {}).get(name, 3))
            if kept.get("third_party"):
                kept["third_party"] = ThirdPartyTensors.from_json(kept["third_party"])
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
            or metadata.upsampling not in (None, *UPSAMPLING_METHODS)
            or not {metadata.in_channels, metadata.out_channels} <= set(IMAGE_CHANNELS)
        ):
            raise ModelError(
                "the model's cgt metadata is damaged (unknown filter, direction, io, "
                "channels, upsampling)"
            )
        return metadata


def rename_skill(report: Any) -> Any:
    """Rename the key `explained` of reports from before version 0.1.0 to `mse_skill`."""
    if not isinstance(report, dict):
        return report
    return {
        "mse_skill" if key == "explained" else key: rename_skill(value)
        for key, value in report.items()
    }


def read_metadata(path: Path, model_format: ModelFormat | None = None) -> ModelMetadata:
    """Read the metadata of an ONNX file, or of an engine file from its sidecar.

    For an ONNX file of another tool it is inferred from the shapes: a variable side means any
    size, a fixed side the only size.

    Args:
        path: the file.
        model_format: what the user says about a model of another tool.

    Raises:
        ModelError: the file is missing, is not ONNX, or does not translate images.
        UsageError: `model_format` contradicts the file.
    """
    if path.suffix in sidecar.ENGINE_SUFFIXES:
        metadata = sidecar.read_sidecar(path).metadata
        if metadata.third_party is None or model_format is None:
            refuse_format(path, model_format)
            return metadata
        third_party = metadata.third_party.with_format(model_format, str(path))
        return dataclasses.replace(metadata, third_party=third_party)
    header = read_onnx_header(path)
    if METADATA_KEY not in header.metadata:
        return infer_metadata(header, str(path), model_format)
    refuse_format(path, model_format)
    metadata = ModelMetadata.from_json(header.metadata[METADATA_KEY])
    channel_axis = 1 if metadata.io == "float" else 3
    elem_type = FLOAT if metadata.io == "float" else UINT8
    image, output = header.inputs[0], header.outputs[0]
    if (
        (image.elem_type, len(image.dims)) != (elem_type, 4)
        or image.dims[channel_axis] not in (*IMAGE_CHANNELS, None)
        or len(header.inputs) != 1 + bool(metadata.statistics)
    ):
        raise ModelError(
            f"{path} contradicts its metadata, which has {metadata.io} tensors and "
            f"{metadata.statistics} statistics; export it again"
        )
    # The shapes know best; older files have no channels in their metadata.
    in_channels, out_channels = (
        tensor.dims[channel_axis] if len(tensor.dims) == 4 else None for tensor in (image, output)
    )
    return dataclasses.replace(
        metadata,
        in_channels=in_channels or metadata.in_channels,
        out_channels=out_channels or metadata.out_channels,
    )


def refuse_format(path: Path, model_format: ModelFormat | None) -> None:
    """Raise UsageError if the user describes a model that describes itself."""
    if model_format not in (None, ModelFormat()):
        raise UsageError(
            f"{path} describes its tensors itself; omit --model-range, --model-layout, "
            "--model-color and --model-input"
        )


def infer_metadata(
    header: OnnxHeader, where: str, model_format: ModelFormat | None = None
) -> ModelMetadata:
    """Return the metadata of a model of another tool.

    Args:
        header: its inputs and outputs.
        where: what messages call the model.
        model_format: what the user says about it.

    Raises:
        ModelError: the model does not translate images.
        UsageError: `model_format` contradicts the model.
    """
    model = describe_third_party(header, where, model_format or ModelFormat())
    height, width = model.size
    own_uint8 = ("uint8", "NHWC", "RGB")
    is_uint8 = not model.tensors.constants and all(
        (each.dtype, each.layout, each.color) == own_uint8
        for each in (model.tensors.input, model.tensors.output)
    )
    return ModelMetadata(
        size=(height or 256, width or 256),
        dynamic=height is None and width is None,
        multiple=1 if height and width else 4,
        norm="unknown",
        io="uint8" if is_uint8 else "float",
        in_channels=model.in_channels,
        out_channels=model.out_channels,
        third_party=None if is_uint8 else model.tensors,
    )
