"""Precision is a property of the graph: put there by `graph.HalfPrecision`, proved here."""

from __future__ import annotations

from collections import Counter

import onnx
from onnx import TensorProto

from cgt.runtime.errors import QualityError

_CONVOLUTIONS = ("Conv", "ConvTranspose")
_NORMS = ("InstanceNormalization",)
_TYPES = {TensorProto.FLOAT: "fp32", TensorProto.FLOAT16: "fp16", TensorProto.BFLOAT16: "bf16"}


def layer_precisions(model: onnx.ModelProto) -> dict[str, Counter[str]]:
    """How many "convolutions" and "norms" compute in which type, by the type of their weights."""
    types = {w.name: _TYPES.get(w.data_type, "other") for w in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            types[node.output[0]] = _TYPES.get(node.attribute[0].t.data_type, "other")
    counts: dict[str, Counter[str]] = {"convolutions": Counter(), "norms": Counter()}
    for node in model.graph.node:
        if node.op_type in _CONVOLUTIONS:
            counts["convolutions"][types.get(node.input[1], "other")] += 1
        elif node.op_type in _NORMS:
            counts["norms"][types.get(node.input[1], "other")] += 1
    return counts


def verify_precision(model: onnx.ModelProto, precision: str) -> dict[str, Counter[str]]:
    """Raises QualityError unless every convolution computes in `precision`, every norm in fp32,
    and the tensors in and out are float32. Returns what was counted."""
    counts = layer_precisions(model)
    if not counts["convolutions"]:
        raise QualityError("the exported graph has no convolution")
    for kind, wanted in (("convolutions", precision), ("norms", "fp32")):
        wrong = {have: n for have, n in counts[kind].items() if have != wanted}
        if wrong:
            raise QualityError(f"the graph has {kind} in {wrong} instead of {wanted}")
    for value in (model.graph.input[0], model.graph.output[0]):
        if value.type.tensor_type.elem_type != TensorProto.FLOAT:
            raise QualityError(f"the graph's {value.name} is not float32")
    return counts
