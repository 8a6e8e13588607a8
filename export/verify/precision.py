"""Precision check of an exported graph: `graph.reduced_precision` and `quantization.qdq` set it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import onnx
from onnx import TensorProto

from cgt.runtime.errors import QualityError

from ..config import ExportConfig
from ..graph.trace import CONV_OPS

_NORM_OPS = ("InstanceNormalization", "BatchNormalization")
_SUM_OPS = ("ReduceMean",)  # sums over images, of decomposed norms and pooling
_PRECISION_OF_DTYPE = {
    TensorProto.FLOAT: "fp32",
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "bf16",
}


def count_layer_precisions(model: onnx.ModelProto) -> dict[str, Counter[str]]:
    """Count nodes by type ("Conv", "ConvTranspose", ...) and precision."""
    counts: dict[str, Counter[str]] = {}
    for node, precision in _layers_with_precision(model):
        counts.setdefault(node.op_type, Counter())[precision] += 1
    return counts


def verify_precision(
    model: onnx.ModelProto, config: ExportConfig, *, any_network: bool = False
) -> dict[str, Counter[str]]:
    """Return `count_layer_precisions` after checking each layer.

    Networks of another project's code (`any_network`) may compute convolutions without a module,
    which keep FP32, and may have none.

    Raises QualityError with the layer's name if it computes in another precision than `config`
    gives, or if an input or output has the wrong type.
    """
    for node, precision in _layers_with_precision(model):
        if any_network and precision in ("fp32", "other", config.float_precision):
            continue
        if precision not in _allowed_precisions(node, config):
            wanted = " or ".join(sorted(_allowed_precisions(node, config)))
            raise QualityError(f"{node.name} ({node.op_type}) is {precision} instead of {wanted}")
    counts = count_layer_precisions(model)
    if any_network and config.quantizes and not counts.get("Conv", Counter())["int8"]:
        raise QualityError("this network has no convolution that can be INT8; omit --int8")
    if not any_network and "Conv" not in counts:
        raise QualityError("the exported graph has no convolution")
    image_type = TensorProto.UINT8 if config.io == "uint8" else TensorProto.FLOAT
    for values in (model.graph.input, model.graph.output):
        for value, wanted_type in zip(values, (image_type, TensorProto.FLOAT), strict=False):
            if value.type.tensor_type.elem_type != wanted_type:
                raise QualityError(f"the graph's {value.name} has the wrong type")
    return counts


def format_counts(counts: dict[str, Counter[str]]) -> str:
    """Return for example "22 Conv int8, 2 ConvTranspose fp16"."""
    return ", ".join(
        f"{count} {kind} {precision}"
        for kind, precisions in counts.items()
        for precision, count in sorted(precisions.items())
    )


def _allowed_precisions(node: onnx.NodeProto, config: ExportConfig) -> set[str]:
    if node.op_type in _SUM_OPS:
        return {"fp32"}
    if node.op_type in _NORM_OPS:
        return {"fp16" if config.fp16_norm else "fp32"}
    if node.op_type == "ConvTranspose":
        return {"fp32" if config.float_precision == "bf16" else config.float_precision}
    if config.precision == "mixed":
        return {"int8", config.float_precision}
    return {"int8" if config.quantizes else config.float_precision}


def _layers_with_precision(model: onnx.ModelProto) -> Iterator[tuple[onnx.NodeProto, str]]:
    """Yield convolutions, norms and sums with the precision they compute in.

    It is the type of their second input, or int8 if both inputs are dequantized; of sums it is the
    type of their input.
    """
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    value_types = {value.name: value.type.tensor_type.elem_type for value in inferred}
    types = {w.name: _PRECISION_OF_DTYPE.get(w.data_type, "other") for w in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            types[node.output[0]] = _PRECISION_OF_DTYPE.get(node.attribute[0].t.data_type, "other")
    dequantized = {n.output[0] for n in model.graph.node if n.op_type == "DequantizeLinear"}
    for node in model.graph.node:
        if node.op_type in _SUM_OPS:
            yield node, _PRECISION_OF_DTYPE.get(value_types.get(node.input[0], 0), "other")
        elif node.op_type in (*CONV_OPS, *_NORM_OPS):
            int8 = dequantized.issuperset(node.input[:2])
            yield node, "int8" if int8 else types.get(node.input[1], "other")
