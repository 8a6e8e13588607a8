"""ONNX graphs as PyTorch modules: the operators of generators, in fp32, at a fixed size.

See onnx.ai/onnx/operators. Two operators differ from PyTorch's own for LiteRT's sake:

- ConvTranspose with padding: the converter rejects that of a ResNet (stride 2, padding and output
  padding 1). The whole output is computed and its border removed. The sums are the same, and the
  file has one TRANSPOSE_CONV.
- InstanceNormalization by means: PyTorch's reshapes, which adds transpositions around each norm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

from cgt.runtime.errors import ModelError


@dataclass(frozen=True)
class OnnxNode:
    """A node; `constants` holds the inputs that are constant by position.

    PyTorch wants some of them as numbers.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]
    constants: dict[int, NDArray[Any]]

    def attribute(self, name: str, default: Any) -> Any:
        return self.attributes.get(name, default)


def _conv(node: OnnxNode, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    top, left, bottom, right = node.attribute("pads", [0] * 4)
    strides, dilations = node.attribute("strides", [1, 1]), node.attribute("dilations", [1, 1])
    padding = (top, left)
    if padding != (bottom, right):
        x, padding = F.pad(x, (left, right, top, bottom)), (0, 0)
    return F.conv2d(x, weight, bias, strides, padding, dilations, node.attribute("group", 1))


def _conv_transpose(
    node: OnnxNode, x: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    top, left, bottom, right = node.attribute("pads", [0] * 4)
    output_padding = node.attribute("output_padding", [0, 0])
    strides, dilations = node.attribute("strides", [1, 1]), node.attribute("dilations", [1, 1])
    if output_padding[0] > bottom or output_padding[1] > right:
        raise ModelError(f"node {node.name}: output padding beyond the padding is not supported")
    groups = node.attribute("group", 1)
    y = F.conv_transpose2d(x, weight, bias, strides, groups=groups, dilation=dilations)
    height, width = y.shape[2] - bottom + output_padding[0], y.shape[3] - right + output_padding[1]
    return y[:, :, top:height, left:width]


def _instance_norm(node: OnnxNode, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    centered = x - x.mean((2, 3), keepdim=True)
    variance = (centered * centered).mean((2, 3), keepdim=True)
    x = centered * torch.rsqrt(variance + node.attribute("epsilon", 1e-5))
    if (node.constants[1] != 1).any():
        x = x * scale[:, None, None]
    return x + bias[:, None, None] if node.constants[2].any() else x


def _pad(node: OnnxNode, x: Tensor, *_: Tensor) -> Tensor:
    ends = node.constants[1].tolist()
    if any(ends[:2] + ends[4:6]):
        raise ModelError(f"node {node.name}: padding of batch or channels is not supported")
    (top, left), (bottom, right) = ends[2:4], ends[6:8]
    mode = node.attribute("mode", b"constant").decode()
    value = float(node.constants[2]) if 2 in node.constants and mode == "constant" else None
    mode = {"edge": "replicate"}.get(mode, mode)
    return F.pad(x, (left, right, top, bottom), mode, value)


def _resize(node: OnnxNode, x: Tensor, *_: Tensor) -> Tensor:
    scales = node.constants[2].tolist() if 2 in node.constants else []
    if node.attribute("mode", b"nearest") != b"nearest" or scales != [1, 1, 2, 2]:
        raise ModelError(
            f"node {node.name}: a Resize other than to twice the size is not supported"
        )
    return F.interpolate(x, scale_factor=2, mode="nearest")


def _cast(node: OnnxNode, x: Tensor) -> Tensor:
    kinds = {TensorProto.FLOAT: torch.float32, TensorProto.UINT8: torch.uint8}
    if node.attributes["to"] not in kinds:
        raise ModelError(
            f"node {node.name}: the type of a Cast is not supported; export with --fp32"
        )
    return x.to(kinds[node.attributes["to"]])


def _clip(node: OnnxNode, x: Tensor, *_: Tensor) -> Tensor:
    low, high = (float(node.constants[i]) if i in node.constants else None for i in (1, 2))
    return x.clamp(low, high)


def _depth_to_space(node: OnnxNode, x: Tensor) -> Tensor:
    if node.attribute("mode", b"DCR") != b"CRD":
        raise ModelError(f"node {node.name}: a DepthToSpace other than CRD is not supported")
    return F.pixel_shuffle(x, node.attributes["blocksize"])


_OPERATORS: dict[str, Callable[..., Tensor]] = {
    "Add": lambda node, a, b: a + b,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": lambda node, *xs: torch.cat(xs, node.attributes["axis"]),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": _depth_to_space,
    "Div": lambda node, a, b: a / b,
    "Identity": lambda node, x: x,
    "InstanceNormalization": _instance_norm,
    "LeakyRelu": lambda node, x: F.leaky_relu(x, node.attribute("alpha", 0.01)),
    "Mul": lambda node, a, b: a * b,
    "Pad": _pad,
    "Relu": lambda node, x: F.relu(x),
    "Resize": _resize,
    "Round": lambda node, x: torch.round(x),
    "Sigmoid": lambda node, x: torch.sigmoid(x),
    "Sub": lambda node, a, b: a - b,
    "Tanh": lambda node, x: torch.tanh(x),
    "Transpose": lambda node, x: x.permute(*node.attributes["perm"]),
}


class OnnxModule(nn.Module):
    """A graph with one input and one output.

    Raises ModelError if the file cannot be read or a node is not supported.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            graph = onnx.load(path).graph
        except Exception as error:  # raised by protobuf; onnx does not wrap it
            raise ModelError(f"{path} cannot be read: {error}") from None
        weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                weights[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        self.nodes = [
            _convert_node(node, weights) for node in graph.node if node.op_type != "Constant"
        ]
        self.input_name, self.output_name = graph.input[0].name, graph.output[0].name
        self.buffer_names = {name: f"weight{index}" for index, name in enumerate(weights)}
        for name, value in weights.items():
            self.register_buffer(self.buffer_names[name], torch.from_numpy(value.copy()))

    def forward(self, image: Tensor) -> Tensor:
        values: dict[str, Any] = {"": None, self.input_name: image}
        values |= {name: self.get_buffer(buffer) for name, buffer in self.buffer_names.items()}
        for node in self.nodes:
            values[node.output] = _OPERATORS[node.op](node, *(values[name] for name in node.inputs))
        result: Tensor = values[self.output_name]
        return result


def _convert_node(node: onnx.NodeProto, weights: dict[str, NDArray[Any]]) -> OnnxNode:
    if node.op_type not in _OPERATORS:
        raise ModelError(
            f"node {node.name} is a {node.op_type}, which --format litert does not support; "
            f"it supports {', '.join(_OPERATORS)}"
        )
    return OnnxNode(
        op=node.op_type,
        name=node.name,
        inputs=tuple(node.input),
        output=node.output[0],
        attributes={a.name: helper.get_attribute_value(a) for a in node.attribute},
        constants={i: weights[name] for i, name in enumerate(node.input) if name in weights},
    )
