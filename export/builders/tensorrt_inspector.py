"""The layers of a built TensorRT engine, and in which type each convolution really computes.

Builders may decline what a graph says without a word (an FP16 flag that a new version ignores,
Q/DQ that a GPU has no kernel for), so the layers are read back. They say which ONNX nodes they
were made of; a node is found again by that.
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
_ONNX_NODE_RE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
_TENSOR_RE = re.compile(r"Dimensions: \[([-\d,]*)\].*?Datatype: (\w+)")
_LAYER_RE = re.compile(
    r"^Name: (?P<name>.*), LayerType: (?P<kind>\w+), Inputs: \[(?P<inputs>.*)\], "
    r"Constants: \[(?P<constants>.*)\], Outputs: \[.*Metadata: (?P<nodes>.*)$"
)


@dataclass(frozen=True)
class TensorInfo:
    """dims: -1 where they vary. precision: "" for a type of no interest here."""

    dims: tuple[int, ...]
    precision: str


@dataclass(frozen=True)
class EngineLayer:
    """A layer of an engine. weights: the precision of its weights where the engine says so.
    nodes: the ONNX nodes that it computes, among others."""

    name: str
    layer_type: str
    inputs: tuple[TensorInfo, ...]
    onnx_nodes: frozenset[str]
    weights_precision: str = ""


@dataclass(frozen=True)
class ExpectedConvolution:
    """A convolution, plain or transposed, as the graph wants it."""

    node_name: str
    kernel: tuple[int, ...]
    precision: str


def parse_build_log(messages: Iterable[str]) -> list[EngineLayer]:
    """From the builder's VERBOSE messages with DETAILED profiling; needs no GPU."""
    layers = []
    for line in (line for message in messages for line in message.splitlines()):
        found = _LAYER_RE.match(line.strip())
        if found:
            tensors = _TENSOR_RE.findall(found["inputs"]) + _TENSOR_RE.findall(found["constants"])
            layers.append(
                EngineLayer(
                    found["name"],
                    found["kind"],
                    tuple(
                        TensorInfo(
                            tuple(int(side) for side in dims.split(",") if side),
                            _parse_precision(kind),
                        )
                        for dims, kind in tensors
                    ),
                    frozenset(_ONNX_NODE_RE.findall(found["nodes"])),
                )
            )
    return layers


def parse_inspector_json(text: str) -> list[EngineLayer]:
    """From EngineInspector's JSON of an engine built with DETAILED profiling."""
    layers = []
    for layer in json.loads(text)["Layers"]:
        if not isinstance(layer, dict):
            continue  # of an engine without details: names alone
        tensors = [*layer.get("Inputs", ()), *layer.get("Constants", ())]
        layers.append(
            EngineLayer(
                layer.get("Name", ""),
                layer.get("LayerType", ""),
                tuple(
                    TensorInfo(tuple(t.get("Dimensions", ())), _tensor_precision(t))
                    for t in tensors
                ),
                frozenset(_ONNX_NODE_RE.findall(str(layer.get("Metadata", "")))),
                _parse_precision(str(layer.get("Weights", {}).get("Type", ""))),
            )
        )
    return layers


def _tensor_precision(tensor: dict[str, Any]) -> str:
    return _parse_precision(str(tensor.get("Datatype") or tensor.get("Format/Datatype", "")))


def _parse_precision(text: str) -> str:
    found = _PRECISION_RE.search(text)
    return _PRECISION_SPELLINGS[found.group().lower()] if found else ""


def verify_precisions(
    layers: list[EngineLayer], expected: list[ExpectedConvolution], engine_name: str
) -> Counter[str]:
    """How many convolutions compute in which precision.

    Raises QualityError naming the first layers that compute in another precision than the graph
    says, or whose precision cannot be told.
    """
    counts: Counter[str] = Counter()
    wrong = []
    for convolution in expected:
        layer, precision = _find_computing_layer(layers, convolution)
        counts[precision] += 1
        if precision != convolution.precision:
            wrong.append(f"{layer} is {precision} and not {convolution.precision}")
    if not expected:
        raise QualityError(f"{engine_name} has no convolution to check")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise QualityError(
            f"{engine_name} does not compute as the graph says: {'; '.join(wrong[:3])}{more}; "
            "nothing was written"
        )
    return counts


def _find_computing_layer(
    layers: list[EngineLayer], convolution: ExpectedConvolution
) -> tuple[str, str]:
    """The layer that computes it, and in which precision: that of its weights, which has to be
    the image's too. Of the layers that mention a node some only prepare its input; the weights
    are the largest tensor that ends in the kernel's sides."""
    size, name, precision = 0, convolution.node_name, "unknown"
    for layer in layers:
        if convolution.node_name not in layer.onnx_nodes:
            continue
        if layer.weights_precision:
            return layer.name, layer.weights_precision
        four = [tensor for tensor in layer.inputs if len(tensor.dims) == 4 and tensor.precision]
        images = {tensor.precision for tensor in four if tensor.dims[2:] != convolution.kernel}
        for weights in (tensor for tensor in four if tensor.dims[2:] == convolution.kernel):
            if images and math.prod(weights.dims) > size:
                size, name = math.prod(weights.dims), layer.name
                both = {weights.precision} if weights.precision in images else images
                precision = "/".join(sorted(both))
    return name, precision
