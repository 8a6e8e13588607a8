"""Small ONNX image translators for tests of engines and builders, written node by node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cgt.runtime.models.metadata import METADATA_KEY, ModelMetadata

FLOAT, HALF, BYTE = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8


class _GraphWriter:
    def __init__(self, dtype: type[np.floating[Any]]) -> None:
        self.dtype = dtype
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.random = np.random.default_rng(0)

    def constant(self, values: np.ndarray) -> str:
        name = f"weight{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, op: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [out or name], name, **attributes))
        return out or name

    def conv(self, x: str, channels: int, outputs: int, quantized: bool) -> str:
        weight = self.random.normal(0, 0.3, (outputs, channels, 3, 3)).astype(np.float32)
        if not quantized:
            kernel = self.constant(weight.astype(self.dtype))
        else:
            scale = np.abs(weight).max((1, 2, 3)) / 127
            levels = np.rint(weight / scale[:, None, None, None]).astype(np.int8)
            zeros = np.zeros(outputs, np.int8)
            arguments = [
                self.constant(values) for values in (levels, scale.astype(np.float32), zeros)
            ]
            kernel = self.node("DequantizeLinear", *arguments, axis=0)
            step = [self.constant(value) for value in (np.float32(2 / 127), np.int8(0))]
            x = self.node("DequantizeLinear", self.node("QuantizeLinear", x, *step), *step)
        return self.node("Conv", x, kernel, pads=[1, 1, 1, 1])


def write_translator_model(
    path: Path,
    precision: str = "fp32",
    io: str = "float",
    statistics: int = 0,
    fixed_size: tuple[int, int] | None = None,
    third_party: bool = False,
    **metadata_fields: Any,
) -> Path:
    """Write a model of three convolutions.

    Args:
        path: file to write.
        precision: "fp32", "fp16" or "int8".
        io: "float" or "uint8" tensors.
        statistics: length of a second tensor, statistics_out = statistics_in + 1; 0 for none.
        fixed_size: (height, width), or None for any size.
        third_party: write no cgt metadata.
        metadata_fields: further fields of the ModelMetadata.
    """
    w = _GraphWriter(np.float16 if precision == "fp16" else np.float32)
    x = "image"
    if io == "uint8":
        x = w.node("Cast", x, to=FLOAT)
        x = w.node("Transpose", x, perm=[0, 3, 1, 2])
        x = w.node("Mul", x, w.constant(np.float32(2 / 255)))
        x = w.node("Sub", x, w.constant(np.float32(1)))
    if precision == "fp16":
        x = w.node("Cast", x, to=HALF)
    for channels, outputs in ((3, 16), (16, 16), (16, 3)):
        x = w.conv(x, channels, outputs, precision == "int8")
        x = w.node("Tanh", x)
    if io == "float":
        # The last node has the name of the output; for FP16 it is a Cast.
        last = {"to": FLOAT} if precision == "fp16" else {}
        w.node("Cast" if last else "Identity", x, out="translated", **last)
    else:
        x = w.node("Cast", x, to=FLOAT) if precision == "fp16" else x
        x = w.node("Mul", x, w.constant(np.float32(127.5)))
        x = w.node("Add", x, w.constant(np.float32(127.5)))
        x = w.node("Round", x)
        x = w.node("Transpose", x, perm=[0, 2, 3, 1])
        w.node("Cast", x, out="translated", to=BYTE)
    if statistics:
        w.node("Add", "statistics_in", w.constant(np.float32(1)), out="statistics_out")
    height, width = fixed_size or ("height", "width")
    shape = ["batch", height, width, 3] if io == "uint8" else ["batch", 3, height, width]
    elem_type = BYTE if io == "uint8" else FLOAT
    ends = [
        [helper.make_tensor_value_info(image, elem_type, shape)]
        + [helper.make_tensor_value_info(vector, FLOAT, ["batch", statistics])] * bool(statistics)
        for image, vector in (("image", "statistics_in"), ("translated", "statistics_out"))
    ]
    graph = helper.make_graph(w.nodes, "small", *ends, w.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    if not third_party:
        fields = {"size": fixed_size or (32, 32), "dynamic": fixed_size is None, "multiple": 4}
        fields |= {"precision": precision, "io": io, "statistics": statistics}
        text = ModelMetadata(**(fields | metadata_fields)).to_json()
        model.metadata_props.add(key=METADATA_KEY, value=text)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path
