"""ONNX files of one large convolution each, to find a machine's peak with."""

from __future__ import annotations

from typing import Any

import numpy as np

from cgt.export.counting import require_onnx

PEAK_MODEL_OPSET, PEAK_MODEL_IR_VERSION = 18, 10


def make_conv_model(channels: int, kernel: int, precision: str) -> bytes:
    """An ONNX file: N,C,H,W float32 -> the same, by one convolution with as many channels out as
    in, in "fp32", "fp16", or "int8" (symmetric Q/DQ, the form that all engines take).

    Raises MissingDependency without the onnx package.
    """
    onnx = require_onnx()
    from onnx import TensorProto, helper

    half = kernel // 2
    weight = np.random.default_rng(0).normal(0, 0.02, (channels, channels, kernel, kernel))
    before, constants = _input_nodes(weight, precision)
    conv = helper.make_node("Conv", ["x", "w"], ["y"], pads=[half] * 4)
    after = [helper.make_node("Cast", ["y"], ["out"], to=TensorProto.FLOAT)]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, channels, None, None])
        for name in ("image", "out")
    ]
    graph = helper.make_graph([*before, conv, *after], "peak", ends[:1], ends[1:], constants)
    opsets = [helper.make_opsetid("", PEAK_MODEL_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=PEAK_MODEL_IR_VERSION)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def _input_nodes(weight: np.ndarray[Any, Any], precision: str) -> tuple[list[Any], list[Any]]:
    """Nodes that make x of "image" and w of constants; the constants."""
    from onnx import TensorProto, helper, numpy_helper

    if precision != "int8":
        kind = np.float16 if precision == "fp16" else np.float32
        to = TensorProto.FLOAT16 if precision == "fp16" else TensorProto.FLOAT
        cast = helper.make_node("Cast", ["image"], ["x"], to=to)
        return [cast], [numpy_helper.from_array(weight.astype(kind), "w")]
    levels = np.rint(weight / np.abs(weight).max() * 127).astype(np.int8)
    constants = {
        "w8": levels,
        "image_scale": np.float32(1 / 127),
        "weight_scale": np.full(len(weight), np.abs(weight).max() / 127, np.float32),
        "image_zero": np.int8(0),
        "weight_zero": np.zeros(len(weight), np.int8),
    }
    image, w = ["image_scale", "image_zero"], ["weight_scale", "weight_zero"]
    nodes = [
        helper.make_node("QuantizeLinear", ["image", *image], ["x8"]),
        helper.make_node("DequantizeLinear", ["x8", *image], ["x"]),
        helper.make_node("DequantizeLinear", ["w8", *w], ["w"], axis=0),
    ]
    return nodes, [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()]
