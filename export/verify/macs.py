"""Multiply-adds and memory traffic of a network, counted from its ONNX graph.

Multiply-adds are the true ones: a transposed convolution multiplies each *input* pixel by the
kernel (published numbers often count its output pixels, four times too many). Bytes are the
unavoidable ones: each convolution, norm, product or resize reads its inputs and weights and writes
its result once. Every engine fuses element-wise operations, padding and (de)quantization into their
neighbors, so they move nothing. Only the second operand of a sum is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgt.runtime.errors import MissingDependency, ModelError
from cgt.runtime.models.onnx_reader import TensorInfo, read_onnx_header
from cgt.runtime.models.third_party import find_image

if TYPE_CHECKING:
    import onnx

_MAC_OPS = ("Conv", "ConvTranspose", "MatMul", "Gemm")
_MEMORY_OPS = (
    *("InstanceNormalization", "BatchNormalization", "Resize", "ReduceMean", "ReduceSum"),
    *("Concat", "MaxPool", "AveragePool", "GlobalAveragePool", "Softmax"),
)
_BINARY_OPS = ("Add", "Sub", "Mul", "Div")
_FUSED_OPS = (  # their output is not stored; the bytes are those of the input
    *("Pad", "Cast", "Relu", "LeakyRelu", "Clip", "Tanh", "Sigmoid", "Identity", "Dropout"),
    *("DequantizeLinear", "Transpose", "Reshape", "Flatten", "Unsqueeze", "Squeeze"),
)


@dataclass(frozen=True)
class LayerCost:
    """Cost of one operation that multiplies or moves data."""

    name: str
    op: str
    macs: int
    quantized: bool  # multiplies int8 values
    float_elements: int  # float elements read and written, weights included
    int8_bytes: int  # int8 elements read and written, weights included

    def bytes_moved(self, float_size: int) -> int:
        return self.float_elements * float_size + self.int8_bytes


def count_layer_costs(path: Path, size: tuple[int, int], batch: int = 1) -> list[LayerCost]:
    """Count the layers of a model.

    Args:
        path: ONNX file.
        size: (height, width) of the tensors if the model leaves it open.
        batch: Batch size if the model leaves it open.

    Raises:
        MissingDependency: The onnx package is not installed.
        ModelError: The shapes cannot be inferred.
    """
    onnx = require_onnx()
    from onnx import shape_inference

    read_onnx_header(path)  # its error explains what is wrong with another file
    model = onnx.load(path)
    fix_input_shapes(model, size, batch)
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    try:
        model = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        return list(_ShapedGraph(model).layer_costs())
    except (shape_inference.InferenceError, KeyError) as error:
        raise ModelError(f"the operations of {path} cannot be counted: {error}") from None


def total_macs(layers: list[LayerCost]) -> int:
    """Return the multiply-adds of all layers."""
    return sum(layer.macs for layer in layers)


def require_onnx() -> Any:
    """Return the onnx package. Raises MissingDependency if it is not installed."""
    try:
        import onnx
    except ImportError:
        raise MissingDependency(
            "onnx is not installed, so MACs and the roofline are not computed; install the extra: "
            "pip install 'cyclegan-toolkit[bench]'"
        ) from None
    return onnx


def fix_input_shapes(
    model: onnx.ModelProto, size: tuple[int, int], batch: int = 1
) -> tuple[int, int]:
    """Set what the inputs leave open; return the (height, width) that the image then has.

    The image is the first input that looks like one. Statistics are (N, S).
    """
    weights = {weight.name for weight in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    found = find_image([_tensor_info(value) for value in inputs])
    if found is None:
        raise ModelError("the operations of the model cannot be counted: it takes no image")
    image, layout, channels = found
    defaults = {"N": batch, "C": channels, "H": size[0], "W": size[1]}
    sides: dict[str, int] = {}
    for value in inputs:
        dims = value.type.tensor_type.shape.dim
        if value.name != image.name:
            for dim in dims[:1]:
                dim.dim_value = dim.dim_value or batch
            continue
        for axis, dim in zip(layout, dims, strict=True):
            dim.dim_value = sides[axis] = dim.dim_value or defaults[axis]
    return sides["H"], sides["W"]


def _tensor_info(value: onnx.ValueInfoProto) -> TensorInfo:
    tensor = value.type.tensor_type
    return TensorInfo(
        value.name, tensor.elem_type, tuple(dim.dim_value or None for dim in tensor.shape.dim)
    )


def constant_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Map constants to their shapes."""
    dims = {weight.name: tuple(weight.dims) for weight in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            dims[node.output[0]] = tuple(node.attribute[0].t.dims)
    return dims


class _ShapedGraph:
    """Shapes, types and neighbors of a model whose shapes have been inferred."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self.nodes = list(graph.node)
        self.producers = {name: node for node in self.nodes for name in node.output}
        self.consumers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self.consumers.setdefault(name, []).append(node)
        self.shapes = constant_shapes(model)
        for value in (*graph.input, *graph.value_info, *graph.output):
            shape = value.type.tensor_type.shape
            self.shapes[value.name] = tuple(dim.dim_value for dim in shape.dim)

    def layer_costs(self) -> Iterator[LayerCost]:
        """Yield the cost of each layer."""
        for node in self.nodes:
            if node.op_type not in (*_MAC_OPS, *_MEMORY_OPS, *_BINARY_OPS):
                continue
            float_elements, int8_bytes = 0, 0
            # One operand of a sum is in cache already: its producer has just computed it.
            inputs = node.input[1:] if node.op_type in _BINARY_OPS else node.input
            if node.op_type in _BINARY_OPS and node.input[0] == node.input[1]:
                inputs = []  # a square is computed where it is read
            for name in filter(None, inputs):
                source = self.find_materialized(name)
                if self.is_int8(source):
                    int8_bytes += self.num_elements(source)
                else:
                    float_elements += self.num_elements(source)
            if node.op_type not in _BINARY_OPS:
                if self.is_written_as_int8(node.output[0]):
                    int8_bytes += self.num_elements(node.output[0])
                else:
                    float_elements += self.num_elements(node.output[0])
            quantized = self.is_int8(self.find_materialized(node.input[0])) and self.is_int8(
                self.find_materialized(node.input[min(1, len(node.input) - 1)])
            )
            yield LayerCost(
                node.name or node.output[0],
                node.op_type,
                self.count_macs(node),
                quantized,
                float_elements,
                int8_bytes,
            )

    def num_elements(self, name: str) -> int:
        return math.prod(self.shapes[name])

    def find_materialized(self, name: str) -> str:
        """Return the tensor in memory that `name` is a view or a cheap function of."""
        while name in self.producers and self.producers[name].op_type in _FUSED_OPS:
            name = self.producers[name].input[0]
        return name

    def is_int8(self, name: str) -> bool:
        """Return True if the tensor is stored as 8-bit integers."""
        if name in self.producers:
            return str(self.producers[name].op_type) == "QuantizeLinear"
        return any(node.op_type == "DequantizeLinear" for node in self.consumers.get(name, []))

    def is_written_as_int8(self, name: str) -> bool:
        """Return True if every consumer quantizes the tensor, so that it is written as int8."""
        consumers = self.consumers.get(name, [])
        return bool(consumers) and all(
            node.op_type == "QuantizeLinear"
            or (node.op_type in _FUSED_OPS and self.is_written_as_int8(node.output[0]))
            for node in consumers
        )

    def count_macs(self, node: onnx.NodeProto) -> int:
        if node.op_type not in _MAC_OPS:
            return 0
        first, second = (self.shapes[name] for name in node.input[:2])
        out = self.shapes[node.output[0]]
        if node.op_type == "Conv":  # weight O,I/groups,kh,kw at each output pixel
            from ..graph.subpixel import (  # needs onnx
                UPSCALE_FACTOR,
                is_subpixel_conv,
            )

            if is_subpixel_conv(node):  # without the zeros that pad its kernels
                second = (*second[:2], *(side + 1 - UPSCALE_FACTOR for side in second[2:]))
            return out[0] * math.prod(out[2:]) * math.prod(second)
        if node.op_type == "ConvTranspose":  # weight I,O/groups,kh,kw at each input pixel
            return first[0] * math.prod(first[2:]) * math.prod(second)
        if node.op_type == "Gemm":
            transposed = any(a.name == "transA" and a.i for a in node.attribute)
            return math.prod(out) * first[0 if transposed else 1]
        return math.prod(out) * first[-1]
