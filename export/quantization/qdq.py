"""INT8 as Q/DQ nodes around convolutions.

OpenVINO, ONNX Runtime and every TensorRT take one form: symmetric QInt8, activations per tensor,
weights per output channel, biases unchanged. ConvTranspose is not quantized, because engines run it
in float in any case.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

_INT8_MAX = 127
REPEAT_MARK = "#"
"""Separates the name of a layer from the number of its run, in names of nodes after the first."""


def insert_qdq(model: onnx.ModelProto, thresholds: Mapping[str, float]) -> None:
    """Quantize, in place, the Conv nodes that `thresholds` contains.

    A threshold is the magnitude of the input that maps to 127. Everything else keeps its type. The
    scales have the type of the weights. A module that runs several times is several nodes of one
    name; they get the same scales.

    A convolution after a concatenation of products, as in the attention of U-GAT-IT, keeps its
    type: OpenVINO 2026.4 merges its Q/DQ with the products wrongly.
    """
    graph = model.graph
    producers = {name: node for node in graph.node for name in node.output}
    weights = {weight.name: weight for weight in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    runs: Counter[str] = Counter()
    for node in graph.node:
        if (
            node.op_type == "Conv"
            and node.name in thresholds
            and node.input[1] in weights
            and not _follows_products(node, producers)
        ):
            layer = node.name
            runs[layer] += 1
            if runs[layer] > 1:
                node.name = f"{layer}{REPEAT_MARK}{runs[layer]}"
            x, kernel = node.input[:2]
            weight = numpy_helper.to_array(weights[kernel])
            scales = _int8_scale(np.abs(weight).max(axis=(1, 2, 3)), weight.dtype)
            levels = np.rint(
                weight.astype(np.float32) / scales.astype(np.float32)[:, None, None, None]
            )
            x_name, weight_name = f"{node.name}.input", f"{node.name}.weight"
            graph.initializer.extend(
                [
                    _make_initializer(
                        f"{x_name}_scale", _int8_scale(np.float32(thresholds[layer]), weight.dtype)
                    ),
                    _make_initializer(f"{x_name}_zero", np.int8(0)),
                    _make_initializer(
                        f"{weight_name}_int8",
                        np.clip(levels, -_INT8_MAX, _INT8_MAX).astype(np.int8),
                    ),
                    _make_initializer(f"{weight_name}_scale", scales),
                    _make_initializer(f"{weight_name}_zero", np.zeros(scales.shape, np.int8)),
                ]
            )
            nodes += [
                _make_qdq_node("QuantizeLinear", x, x_name, f"{x_name}_int8"),
                _make_qdq_node("DequantizeLinear", f"{x_name}_int8", x_name, f"{x_name}_rounded"),
                _make_qdq_node(
                    "DequantizeLinear",
                    f"{weight_name}_int8",
                    weight_name,
                    f"{weight_name}_rounded",
                    axis=0,
                ),
            ]
            node.input[0], node.input[1] = f"{x_name}_rounded", f"{weight_name}_rounded"
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    for name, weight in weights.items():
        if name not in used:
            graph.initializer.remove(weight)


def _follows_products(node: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto]) -> bool:
    """Return whether the input of a node is a concatenation of products."""
    source = producers.get(node.input[0])
    if source is None or source.op_type != "Concat":
        return False
    branches = [producers.get(name) for name in source.input]
    return any(branch is not None and branch.op_type == "Mul" for branch in branches)


def dequantized_weights(graph: onnx.GraphProto) -> dict[str, NDArray[Any]]:
    """Map the weight names of quantized convolutions to their dequantized values."""
    values = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
    weights = {}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in values:
            levels, scales = (values[name].astype(np.float32) for name in node.input[:2])
            weights[node.output[0]] = levels * scales[:, None, None, None]
    return weights


def _int8_scale(largest: NDArray[Any] | np.float32, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the scale that maps `largest` to 127.

    A scale is never so small that `dtype` has few bits for it; for a dead channel any scale will
    do.
    """
    smallest = np.finfo(dtype).smallest_normal
    return np.maximum(np.asarray(largest, np.float32) / _INT8_MAX, smallest).astype(dtype)


def _make_initializer(name: str, values: NDArray[Any] | np.int8) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values), name)


def _make_qdq_node(op: str, x: str, prefix: str, out: str, **attributes: Any) -> onnx.NodeProto:
    inputs = [x, f"{prefix}_scale", f"{prefix}_zero"]
    return helper.make_node(op, inputs, [out], f"{out}.{op}", **attributes)
