"""Layers of a built TensorRT engine, and the precision in which each convolution computes.

Builders may ignore what a graph specifies without a message (an FP16 flag that a new version
ignores, Q/DQ that a GPU has no kernel for), so the layers are read back. They list the ONNX nodes
that they were built from, by which a node is found. Versions of TensorRT tell the precision in
different places, and some layers do not tell it at all. Such a convolution counts as unverified;
only a precision that was read can be wrong.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cgt.runtime.errors import QualityError
from cgt.runtime.models.sidecar import UNVERIFIED

# Spellings of the builder's log and of EngineInspector, old and new.
_PRECISION_SPELLINGS = {
    "float": "fp32",
    "fp32": "fp32",
    "half": "fp16",
    "fp16": "fp16",
    "bfloat16": "bf16",
    "bf16": "bf16",
    "int8": "int8",
}
_PRECISION_RE = re.compile(
    "|".join(sorted(_PRECISION_SPELLINGS, key=len, reverse=True)), re.IGNORECASE
)
# Input and output type of a convolution's kernel, then those that it multiplies and adds in:
# "sm80_xmma_fprop_implicit_gemm_i8f16_i8i32_f32_nhwckrsc_...", "f32f32_tf32f32_f32". Layers that
# prepare a convolution have types in the names of their kernels, too.
_CONV_KERNEL_RE = re.compile("fprop|dgrad|conv|gemm")
_KERNEL_TYPE = "(bf16|tf32|f32|f16|i32|i8)"
_KERNEL_RE = re.compile(
    rf"(?<![a-z0-9]){_KERNEL_TYPE}{_KERNEL_TYPE}(?:_{_KERNEL_TYPE}{_KERNEL_TYPE})?(?![a-z0-9])"
)
_KERNEL_PRECISIONS = {"bf16": "bf16", "tf32": "tf32", "f32": "fp32", "f16": "fp16", "i8": "int8"}
_ONNX_NODE_RE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
_TENSOR_RE = re.compile(r"Dimensions: \[([-\d,]*)\].*?Datatype: (\w+)")
_LAYER_RE = re.compile(
    r"^Name: (?P<name>.*), LayerType: (?P<kind>\w+), Inputs: \[(?P<inputs>.*)\], "
    r"Constants: \[(?P<constants>.*)\], Outputs: \[.*Metadata: (?P<nodes>.*)$"
)


@dataclass(frozen=True)
class TensorInfo:
    """A tensor; a dimension is -1 if it varies, `precision` is "" for other types."""

    dims: tuple[int, ...]
    precision: str


@dataclass(frozen=True)
class EngineLayer:
    """A layer of an engine.

    Attributes:
        onnx_nodes: ONNX nodes that it computes or prepares.
        weights_precision: Precision of the weights; "" if the engine does not report it.
        kernel_precision: Precision that the name of the kernel says; "" if it says none.
    """

    name: str
    layer_type: str
    inputs: tuple[TensorInfo, ...]
    onnx_nodes: frozenset[str]
    weights_precision: str = ""
    kernel_precision: str = ""


@dataclass(frozen=True)
class ExpectedConvolution:
    """A convolution, plain or transposed, as in the graph."""

    node_name: str
    kernel: tuple[int, ...]
    precision: str


def parse_build_log(messages: Iterable[str]) -> list[EngineLayer]:
    """Parse the builder's VERBOSE messages with DETAILED profiling; needs no GPU."""
    layers = []
    for line in (line for message in messages for line in message.splitlines()):
        match = _LAYER_RE.match(line.strip())
        if match:
            tensors = _TENSOR_RE.findall(match["inputs"]) + _TENSOR_RE.findall(match["constants"])
            layers.append(
                EngineLayer(
                    match["name"],
                    match["kind"],
                    tuple(
                        TensorInfo(
                            tuple(int(side) for side in dims.split(",") if side),
                            _parse_precision(kind),
                        )
                        for dims, kind in tensors
                    ),
                    frozenset(_ONNX_NODE_RE.findall(match["nodes"])),
                )
            )
    return layers


def parse_inspector_json(text: str) -> list[EngineLayer]:
    """Parse EngineInspector's JSON of an engine built with DETAILED profiling.

    TensorRT 8 prints the type of the weights ("Weights"; "ConvWeights" of fused layers), without
    the ONNX nodes ("Metadata") that TensorRT 10 adds. The name of a layer then is that of its
    nodes, joined by plus signs.
    """
    layers = []
    for layer in json.loads(text)["Layers"]:
        if not isinstance(layer, dict):
            continue  # an engine without details has only names
        tensors = [*layer.get("Inputs", ()), *layer.get("Constants", ())]
        layers.append(
            EngineLayer(
                layer.get("Name", ""),
                layer.get("LayerType", ""),
                tuple(
                    TensorInfo(tuple(t.get("Dimensions", ())), _tensor_precision(t))
                    for t in tensors
                ),
                frozenset(
                    _ONNX_NODE_RE.findall(str(layer.get("Metadata", "")))
                    or re.split(r"\s*\+\s*", str(layer.get("Name", "")))
                ),
                _weights_precision(layer),
                _parse_kernel_name(str(layer.get("TacticName", ""))),
            )
        )
    return layers


def _weights_precision(layer: dict[str, Any]) -> str:
    weights = layer.get("Weights") or layer.get("ConvWeights") or {}
    return _parse_precision(str(weights.get("Type", "")))


def _tensor_precision(tensor: dict[str, Any]) -> str:
    return _parse_precision(str(tensor.get("Datatype") or tensor.get("Format/Datatype", "")))


def _parse_kernel_name(name: str) -> str:
    found = _KERNEL_RE.search(name) if _CONV_KERNEL_RE.search(name) else None
    return _KERNEL_PRECISIONS.get(found[3] or found[1], "") if found else ""


def _parse_precision(text: str) -> str:
    match = _PRECISION_RE.search(text)
    return _PRECISION_SPELLINGS[match.group().lower()] if match else ""


def verify_precisions(
    layers: list[EngineLayer], expected: list[ExpectedConvolution], engine_name: str
) -> Counter[str]:
    """Count the convolutions by the precision they compute in, UNVERIFIED where none is readable.

    Args:
        layers: Layers of the engine.
        expected: Convolutions of the graph.
        engine_name: Name of the engine in error messages.

    Raises:
        QualityError: A layer computes in another precision than the graph; the message names the
            first layers.
    """
    counts: Counter[str] = Counter()
    wrong = []
    for convolution in expected:
        layer, precision = _find_computing_layer(layers, convolution)
        counts[precision or UNVERIFIED] += 1
        if precision and precision != convolution.precision:
            wrong.append(f"{layer} is {precision} and not {convolution.precision}")
    if not expected:
        raise QualityError(f"{engine_name} has no convolution to check")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise QualityError(
            f"{engine_name} does not compute in the graph's precisions: "
            f"{'; '.join(wrong[:3])}{more}; "
            "nothing was written"
        )
    return counts


def _find_computing_layer(
    layers: list[EngineLayer], convolution: ExpectedConvolution
) -> tuple[str, str]:
    """Return the layer that computes a convolution, and its precision; "" if none tells it.

    The precision is that of the weights, which has to be the image's too. Some layers that list a
    node only prepare its input. The weights are the largest tensor that ends in the kernel's sides.
    Without weights, the name of the kernel counts; TF32 is read from it alone.
    """
    max_size, name, precision = 0, convolution.node_name, ""
    kernel_name = kernel_precision = ""
    for layer in layers:
        if convolution.node_name not in layer.onnx_nodes:
            continue
        if layer.weights_precision:
            is_tf32 = (layer.weights_precision, layer.kernel_precision) == ("fp32", "tf32")
            return layer.name, "tf32" if is_tf32 else layer.weights_precision
        if layer.kernel_precision:
            kernel_name, kernel_precision = layer.name, layer.kernel_precision
        tensors = [t for t in layer.inputs if len(t.dims) == 4 and t.precision]
        image_precisions = {t.precision for t in tensors if t.dims[2:] != convolution.kernel}
        for weights in (t for t in tensors if t.dims[2:] == convolution.kernel):
            if image_precisions and math.prod(weights.dims) > max_size:
                max_size, name = math.prod(weights.dims), layer.name
                matches = weights.precision in image_precisions
                precision = "/".join(sorted({weights.precision} if matches else image_precisions))
    return (name, precision) if precision else (kernel_name or name, kernel_precision)
