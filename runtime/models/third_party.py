"""Tensors of models that were exported by another tool and have no cgt metadata.

Their shapes and types say the layout, the number of channels and the size. They do not say the
order of the colors, nor which values stand for black and white. The user says these in a
`ModelFormat`; otherwise `cgt.runtime.engines.third_party` tries the ranges when it opens the model.

An engine converts between cgt's tensors, float32 N,C,H,W RGB in [-1, 1], and these.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, UsageError
from ..image.preprocess import F32
from ..utils.options import option
from .onnx_reader import DTYPES, OnnxHeader, TensorInfo

ValueRange = Literal["-1..1", "0..1", "0..255", "imagenet"]
VALUE_RANGES: tuple[ValueRange, ...] = get_args(ValueRange)
TensorLayout = Literal["NCHW", "NHWC", "CHW", "HWC"]
ImageLayout = Literal["NCHW", "NHWC"]
IMAGE_LAYOUTS: tuple[ImageLayout, ...] = get_args(ImageLayout)
ColorOrder = Literal["RGB", "BGR"]
COLOR_ORDERS: tuple[ColorOrder, ...] = get_args(ColorOrder)

IMAGE_CHANNELS = (1, 3, 4)
"""Gray, RGB, and RGB with alpha."""

_IMAGE_DTYPES = ("float32", "float16", "uint8")
# Of ImageNet's images in [0, 1], as torchvision normalizes them.
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BOUNDS = {"-1..1": (-1.0, 1.0), "0..1": (0.0, 1.0), "0..255": (0.0, 255.0)}


def parse_constant(text: str) -> tuple[str, tuple[float, ...]]:
    """Parse NAME=V1,V2,... to a name and its values.

    Raises:
        UsageError: it has another form.
    """
    name, _, values = text.rpartition("=")
    try:
        numbers = tuple(float(value) for value in values.split(","))
    except ValueError:
        numbers = ()
    if not name or not numbers or not all(map(math.isfinite, numbers)):
        raise UsageError(f"--model-input {text} is not NAME=VALUE or NAME=VALUE,VALUE,...")
    return name, numbers


def parse_ranges(text: str) -> tuple[ValueRange, ValueRange]:
    """Parse "RANGE" or "RANGE:RANGE" to the value ranges of input and output.

    Raises:
        UsageError: it has another form.
    """
    first, _, second = text.partition(":")
    return check_range(first), check_range(second or first)


def check_range(text: str) -> ValueRange:
    """Return one of VALUE_RANGES; raise UsageError for another text."""
    for value_range in VALUE_RANGES:
        if text == value_range:
            return value_range
    known = ", ".join(VALUE_RANGES)
    raise UsageError(
        f"--model-range {text} is unknown; give one of {known}, or two as INPUT:OUTPUT"
    )


MODEL_FORMAT = "Models of other projects"


@dataclass(frozen=True, kw_only=True)
class RangeOption:
    """The option that models of other tools and checkpoints of other projects share.

    Raises:
        UsageError: the value is unknown.
    """

    model_range: str | None = option(
        None,
        "values of black and white: -1..1, 0..1, 0..255 or imagenet; INPUT:OUTPUT if they differ",
        MODEL_FORMAT,
        metavar="RANGE",
        default_text="detected in models, -1..1 in checkpoints",
    )

    def __post_init__(self) -> None:
        if self.model_range is not None:
            parse_ranges(self.model_range)


@dataclass(frozen=True, kw_only=True)
class ModelFormat(RangeOption):
    """What the user says about a model without cgt metadata; None for what is to be detected.

    Raises:
        UsageError: a value is unknown.
    """

    model_layout: ImageLayout | None = option(
        None, "NCHW or NHWC", MODEL_FORMAT, metavar="LAYOUT", default_text="from the shapes"
    )
    model_color: ColorOrder | None = option(
        None, "RGB or BGR", MODEL_FORMAT, metavar="ORDER", default_text="RGB"
    )
    model_input: tuple[str, ...] = option(
        (),
        "constant for an input other than the image; repeat it for several",
        MODEL_FORMAT,
        kind=tuple,
        metavar="NAME=V,V,...",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        texts = (self.model_input,) if isinstance(self.model_input, str) else self.model_input
        object.__setattr__(self, "model_input", tuple(texts))
        if self.model_layout not in (None, *IMAGE_LAYOUTS):
            raise UsageError(f"--model-layout {self.model_layout} is unknown; give NCHW or NHWC")
        if self.model_color not in (None, *COLOR_ORDERS):
            raise UsageError(f"--model-color {self.model_color} is unknown; give RGB or BGR")
        names = [parse_constant(text)[0] for text in self.model_input]
        if repeated := next((name for name in names if names.count(name) > 1), None):
            raise UsageError(f"--model-input {repeated} is given twice")

    @property
    def model_format(self) -> ModelFormat:
        """These fields alone, without those of a subclass."""
        return ModelFormat(
            **{each.name: getattr(self, each.name) for each in dataclasses.fields(ModelFormat)}
        )


@dataclass(frozen=True)
class TensorFormat:
    """Format of an image tensor of a third-party model.

    Attributes:
        name: name of the tensor.
        dtype: "float32", "float16" or "uint8".
        layout: "NCHW" or "NHWC"; "CHW" or "HWC" for a model of one image without a batch axis.
        color: "RGB" or "BGR".
        range: the values that stand for black and white; None if unknown. "imagenet" means values
            in [0, 1] from which ImageNet's mean is subtracted, divided by its standard deviation.
    """

    name: str
    dtype: str
    layout: TensorLayout
    color: ColorOrder = "RGB"
    range: ValueRange | None = None

    def shape(self, batch: int, channels: int, height: int, width: int) -> tuple[int, ...]:
        """Return the shape of the tensor for some images."""
        sizes = {"N": batch, "C": channels, "H": height, "W": width}
        return tuple(sizes[axis] for axis in self.layout)

    def as_nchw(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return a view of the tensor with the axes N,C,H,W."""
        batched = array if len(self.layout) == 4 else array[None]
        return batched.transpose(0, 3, 1, 2) if self.layout.endswith("HWC") else batched

    def encode(self, images: F32, out: NDArray[Any]) -> None:
        """Write images (float32 N,C,H,W RGB in [-1, 1]) into a tensor of this format."""
        scale, offset = self._scale_and_offset(images.shape[1])
        values = self._swap(images) * scale + offset
        target = self.as_nchw(out)
        if out.dtype == np.uint8:
            values = np.rint(values).clip(0, 255)
        target[...] = values

    def decode(self, array: NDArray[Any], out: F32) -> None:
        """Read images (float32 N,C,H,W RGB, black and white at -1 and 1) from a tensor."""
        source = self._swap(self.as_nchw(array).astype(np.float32, copy=False))
        scale, offset = self._scale_and_offset(out.shape[1])
        np.divide(source - offset, scale, out=out)

    def _scale_and_offset(self, channels: int) -> tuple[F32, F32]:
        """Return the factor and summand from [-1, 1] to the range, each C,1,1."""
        assert self.range is not None
        if self.range == "imagenet":
            mean, deviation = np.array(_IMAGENET_MEAN), np.array(_IMAGENET_STD)
            scale, offset = 0.5 / deviation, (0.5 - mean) / deviation
            if self.color == "BGR":
                scale, offset = scale[::-1], offset[::-1]
        else:
            low, high = BOUNDS[self.range]
            scale = np.full(channels, (high - low) / 2)
            offset = np.full(channels, (high + low) / 2)
        return scale.astype(np.float32)[:, None, None], offset.astype(np.float32)[:, None, None]

    def _swap(self, images: F32) -> F32:
        return images[:, [2, 1, 0, 3][: images.shape[1]]] if self.color == "BGR" else images


@dataclass(frozen=True)
class ConstantInput:
    """A further input of a model, and the values that it always gets.

    Attributes:
        name: name of the tensor.
        dtype: NumPy's name of its type.
        shape: its shape.
        values: all values, in C order.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    values: tuple[float, ...]

    @property
    def array(self) -> NDArray[Any]:
        """The values as a new array."""
        return np.array(self.values).reshape(self.shape).astype(self.dtype)


@dataclass(frozen=True)
class ThirdPartyTensors:
    """The tensors of a model without cgt metadata.

    Attributes:
        input: the image.
        output: its translation.
        constants: all other inputs.
    """

    input: TensorFormat
    output: TensorFormat
    constants: tuple[ConstantInput, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether the images are cgt's own: float32 N,C,H,W RGB in [-1, 1]."""
        return all(
            (each.dtype, each.layout, each.color, each.range) == ("float32", "NCHW", "RGB", "-1..1")
            for each in (self.input, self.output)
        )

    def with_format(self, model_format: ModelFormat, where: str) -> ThirdPartyTensors:
        """Return the tensors of an engine with the range and the colors that the user says.

        Raises:
            UsageError: the user says what the build has fixed.
        """
        if model_format.model_layout or model_format.model_input:
            raise UsageError(f"--model-layout and --model-input are for ONNX files, not {where}")
        first, second = self.input, self.output
        if model_format.model_range is not None:
            ranges = parse_ranges(model_format.model_range)
            first, second = (
                dataclasses.replace(each, range=value_range)
                for each, value_range in zip((first, second), ranges, strict=True)
            )
        if model_format.model_color is not None:
            first, second = (
                dataclasses.replace(each, color=model_format.model_color)
                for each in (first, second)
            )
        return dataclasses.replace(self, input=first, output=second)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> ThirdPartyTensors:
        """Return the tensors that `dataclasses.asdict` made JSON of."""
        constants = tuple(
            ConstantInput(each["name"], each["dtype"], tuple(each["shape"]), tuple(each["values"]))
            for each in values["constants"]
        )
        return cls(TensorFormat(**values["input"]), TensorFormat(**values["output"]), constants)


@dataclass(frozen=True)
class ThirdPartyModel:
    """A model as its header describes it.

    Attributes:
        tensors: its tensors.
        in_channels, out_channels: channels of the images.
        size: (height, width) of the images; None for a side that varies.
    """

    tensors: ThirdPartyTensors
    in_channels: int
    out_channels: int
    size: tuple[int | None, int | None]


def describe_third_party(
    header: OnnxHeader, where: str, model_format: ModelFormat
) -> ThirdPartyModel:
    """Find the image among the tensors of a model, and its format.

    Args:
        header: inputs and outputs.
        where: what messages call the model.
        model_format: what the user says.

    Raises:
        ModelError: the model does not translate images, or its other inputs have no values.
        UsageError: the user contradicts the model.
    """
    constants = _constants(header.inputs, where, model_format)
    names = {constant.name for constant in constants}
    rest = [tensor for tensor in header.inputs if tensor.name not in names]
    if len(rest) != 1:
        raise ModelError(_describe_inputs(header.inputs, where))
    found = find_image(rest, model_format.model_layout)
    if found is None:
        raise ModelError(
            f"{where} does not translate images: its input must have the shape N,C,H,W or N,H,W,C "
            f"with 1, 3 or 4 channels, in float32, float16 or uint8, not {_describe(rest[0])}"
        )
    image, layout, in_channels = found
    # An output of unknown shape has the axes of the input.
    output_found = find_image(header.outputs, None, like=layout)
    if output_found is None:
        raise ModelError(
            f"{where} does not translate images: its output must be an image, too, not "
            f"{_describe(header.outputs[0])}"
        )
    output, output_layout, out_channels = output_found
    ranges: tuple[ValueRange | None, ValueRange | None] = (None, None)
    if model_format.model_range is not None:
        ranges = parse_ranges(model_format.model_range)
        _check_ranges(ranges, (in_channels, out_channels), (image, output), where)
    color = model_format.model_color or "RGB"
    sides = [dim for dim, axis in zip(image.dims, layout, strict=True) if axis in "HW"]
    return ThirdPartyModel(
        ThirdPartyTensors(
            _tensor_format(image, layout, color, ranges[0]),
            _tensor_format(output, output_layout, color, ranges[1]),
            constants,
        ),
        in_channels,
        out_channels or in_channels,
        (sides[0], sides[1]),
    )


def _tensor_format(
    tensor: TensorInfo, layout: TensorLayout, color: ColorOrder, value_range: ValueRange | None
) -> TensorFormat:
    dtype = DTYPES[tensor.elem_type]
    return TensorFormat(
        tensor.name, dtype, layout, color, "0..255" if dtype == "uint8" else value_range
    )


def _check_ranges(
    ranges: tuple[ValueRange, ValueRange],
    channels: tuple[int, int],
    tensors: tuple[TensorInfo, TensorInfo],
    where: str,
) -> None:
    for value_range, count, tensor in zip(ranges, channels, tensors, strict=True):
        if value_range == "imagenet" and count not in (0, 3):
            raise UsageError(f"--model-range imagenet is for RGB; {where} has {count} channels")
        if DTYPES[tensor.elem_type] == "uint8" and value_range != "0..255":
            raise UsageError(f"{tensor.name} of {where} is uint8; its --model-range is 0..255")


def find_image(
    tensors: Sequence[TensorInfo],
    wanted: ImageLayout | None = None,
    like: TensorLayout | None = None,
) -> tuple[TensorInfo, TensorLayout, int] | None:
    """Return the first image, its layout and its channels; None without an image.

    Channels that the shape does not say count as 3 for an input, and as 0 for an output.

    Args:
        tensors: inputs or outputs.
        wanted: the layout, if the user says it.
        like: for outputs, the layout of the input.
    """
    for tensor in tensors:
        dtype = DTYPES.get(tensor.elem_type)
        if dtype not in _IMAGE_DTYPES:
            continue
        if not tensor.dims and like is not None:
            return tensor, like, 0
        for layout in _candidate_layouts(len(tensor.dims), dtype, wanted, like):
            channels = tensor.dims[layout.index("C")]
            if channels in IMAGE_CHANNELS:
                return tensor, layout, channels
        for layout in _candidate_layouts(len(tensor.dims), dtype, wanted, like):
            if tensor.dims[layout.index("C")] is None:
                return tensor, layout, 0 if like is not None else 3
    return None


def _candidate_layouts(
    rank: int, dtype: str, wanted: ImageLayout | None, like: TensorLayout | None
) -> list[TensorLayout]:
    """Return the layouts to try, the more likely one first."""
    by_rank: dict[int, list[TensorLayout]] = {4: ["NCHW", "NHWC"], 3: ["CHW", "HWC"]}
    layouts = by_rank.get(rank, [])
    if wanted is not None:
        return [layout for layout in layouts if wanted.endswith(layout)]
    prefer_last = like.endswith("HWC") if like is not None else dtype == "uint8"
    return layouts[::-1] if prefer_last else layouts


def _constants(
    inputs: Sequence[TensorInfo], where: str, model_format: ModelFormat
) -> tuple[ConstantInput, ...]:
    by_name = {tensor.name: tensor for tensor in inputs}
    constants = []
    for name, values in map(parse_constant, model_format.model_input):
        if name not in by_name:
            known = ", ".join(by_name)
            raise UsageError(f"--model-input {name}: {where} has no such input; it has {known}")
        tensor = by_name[name]
        dtype = DTYPES.get(tensor.elem_type)
        if dtype is None:
            raise ModelError(f"input {name} of {where} has a type that cgt cannot give values for")
        shape = tuple(dim or 1 for dim in tensor.dims)
        if len(tensor.dims) == 1 and tensor.dims[0] is None:
            shape = (len(values),)
        count = math.prod(shape)
        if len(values) not in (1, count):
            raise UsageError(
                f"--model-input {name} needs {count} values, or one for all, not {len(values)}"
            )
        repeated = values if len(values) == count else values * count
        constants.append(ConstantInput(name, dtype, shape, repeated))
    return tuple(constants)


def _describe_inputs(inputs: Sequence[TensorInfo], where: str) -> str:
    described = ", ".join(map(_describe, inputs))
    if len(inputs) == 1:
        return f"--model-input sets the only input of {where}, {described}; leave it out"
    images = [tensor for tensor in inputs if find_image([tensor])]
    others = [tensor for tensor in inputs if tensor not in images[:1]]
    flags = " ".join(f"--model-input {tensor.name}=VALUES" for tensor in others)
    return f"{where} has {len(inputs)} inputs: {described}; give all but the image values: {flags}"


def _describe(tensor: TensorInfo) -> str:
    dims = ",".join("?" if dim is None else str(dim) for dim in tensor.dims)
    return f"{tensor.name} ({dims})"
