"""ONNX models as other tools write them, in other ranges, layouts, types and channels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cgt.runtime.models.metadata import ModelMetadata

ELEM_TYPES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "uint8": TensorProto.UINT8,
}
_MEAN, _STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def affine_of(value_range: str, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the factor and summand from [-1, 1] to a range, each of shape C,1,1."""
    if value_range == "imagenet":
        scale, offset = 0.5 / _STD, (0.5 - _MEAN) / _STD
    else:
        low, high = map(float, value_range.split(".."))
        scale, offset = np.full(channels, (high - low) / 2), np.full(channels, (high + low) / 2)
    return scale.astype(np.float32)[:, None, None], offset.astype(np.float32)[:, None, None]


def write_third_party_model(
    path: Path,
    ranges: tuple[str, str] = ("-1..1", "-1..1"),
    layouts: tuple[str, str] = ("NCHW", "NCHW"),
    dtypes: tuple[str, str] = ("float32", "float32"),
    kernel: np.ndarray | None = None,
    *,
    gain: str = "",
    size: tuple[Any, Any] = ("H", "W"),
    metadata: str = "",
    weights_as_inputs: bool = False,
) -> Path:
    """Write a model that clips its image to black and white, and mixes its channels.

    Args:
        path: the file.
        ranges: values of black and white of input and output, such as "0..255".
        layouts: "NCHW", "NHWC", "CHW" or "HWC" of input and output.
        dtypes: types of input and output.
        kernel: float32 (outputs, inputs); the identity of RGB by default.
        gain: name of a further input of 2 values, whose first one multiplies the image.
        size: height and width.
        metadata: text of the entry `cgt`.
        weights_as_inputs: list the weights among the inputs, as files before IR version 4 do.
    """
    kernel = np.eye(3, dtype=np.float32) if kernel is None else kernel
    out_channels, in_channels = kernel.shape
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def constant(values: np.ndarray) -> str:
        weights.append(numpy_helper.from_array(values, f"weight{len(weights)}"))
        return weights[-1].name

    def node(op: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [f"value{len(nodes)}"], **attributes))
        return str(nodes[-1].output[0])

    x = node("Cast", "image", to=TensorProto.FLOAT)
    if len(layouts[0]) == 3:
        x = node("Unsqueeze", x, constant(np.array([0])))
    if layouts[0].endswith("HWC"):
        x = node("Transpose", x, perm=[0, 3, 1, 2])
    scale, offset = affine_of(ranges[0], in_channels)
    x = node("Div", node("Sub", x, constant(offset)), constant(scale))
    x = node("Clip", x, constant(np.float32(-1)), constant(np.float32(1)))
    x = node("Conv", x, constant(kernel[..., None, None]))
    if gain:
        x = node("Mul", x, node("Gather", gain, constant(np.int64(0))))
    scale, offset = affine_of(ranges[1], out_channels)
    x = node("Add", node("Mul", x, constant(scale)), constant(offset))
    if dtypes[1] == "uint8":
        x = node("Round", x)
    if layouts[1].endswith("HWC"):
        x = node("Transpose", x, perm=[0, 2, 3, 1])
    if len(layouts[1]) == 3:
        x = node("Squeeze", x, constant(np.array([0])))
    nodes.append(helper.make_node("Cast", [x], ["result"], to=ELEM_TYPES[dtypes[1]]))

    def image(name: str, index: int, channels: int) -> onnx.ValueInfoProto:
        sides = {"N": "N", "C": channels, "H": size[0], "W": size[1]}
        shape = [sides[axis] for axis in layouts[index]]
        return helper.make_tensor_value_info(name, ELEM_TYPES[dtypes[index]], shape)

    inputs = [image("image", 0, in_channels)]
    if gain:
        inputs.insert(0, helper.make_tensor_value_info(gain, TensorProto.FLOAT, [2]))
    if weights_as_inputs:
        inputs += [
            helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims)
            for weight in weights
        ]
    graph = helper.make_graph(
        nodes, "third_party", inputs, [image("result", 1, out_channels)], weights
    )
    model = helper.make_model(
        graph,
        ir_version=3 if weights_as_inputs else 8,
        opset_imports=[helper.make_opsetid("", 17)],
    )
    if metadata:
        model.metadata_props.add(key="cgt", value=metadata)
    onnx.save(model, path)
    return path


CHANNEL_KERNELS = {
    (1, 1): np.eye(1),
    (1, 3): np.ones((3, 1)),
    (3, 1): np.array([[0, 1, 0]]),  # green
    (4, 4): np.eye(4),
    (4, 3): np.eye(4)[[3, 3, 3]],  # alpha as gray
    (3, 4): np.eye(3)[[0, 1, 2, 0]],  # red as alpha
}
"""The output channels of `write_channel_model`, from the input channels."""


def write_channel_model(path: Path, channels: tuple[int, int]) -> Path:
    """Write a model of cgt for any size with these channels in and out."""
    metadata = ModelMetadata(dynamic=True, size=(64, 64), norm="none")
    values = json.loads(metadata.to_json())
    del values["in_channels"], values["out_channels"]  # older files have none
    kernel = CHANNEL_KERNELS[channels].astype(np.float32)
    return write_third_party_model(path, kernel=kernel, metadata=json.dumps(values))
