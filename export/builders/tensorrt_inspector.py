"""Layers of a built TensorRT engine, and the precision in which each convolution computes.

Builders may ignore what a graph specifies without a message (an FP16 flag that a new version
ignores, Q/DQ that a GPU has no kernel for), so the layers are read back. They list the ONNX nodes
that they were built from, by which a node is found.
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
    """A tensor; a dimension is -1 if it varies, `precision` is "" for other types."""

    dims: tuple[int, ...]
    precision: str


@dataclass(frozen=True)
class EngineLayer:
    """A layer of an engine.

    Attributes:
        onnx_nodes: ONNX nodes that it computes or prepares.
        weights_precision: Precision of the weights; "" if the engine does not report it.
    """

    name: str
    layer_type: str
    inputs: tuple[TensorInfo, ...]
    onnx_nodes: frozenset[str]
    weights_precision: str = ""


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
    """Parse EngineInspector's JSON of an engine built with DETAILED profiling."""
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
                frozenset(_ONNX_NODE_RE.findall(str(layer.get("Metadata", "")))),
                _parse_precision(str(layer.get("Weights", {}).get("Type", ""))),
            )
        )
    return layers


def _tensor_precision(tensor: dict[str, Any]) -> str:
    return _parse_precision(str(tensor.get("Datatype") or tensor.get("Format/Datatype", "")))


def _parse_precision(text: str) -> str:
    match = _PRECISION_RE.search(text)
    return _PRECISION_SPELLINGS[match.group().lower()] if match else ""


def verify_precisions(
    layers: list[EngineLayer], expected: list[ExpectedConvolution], engine_name: str
) -> Counter[str]:
    """Count the convolutions by the precision they compute in.

    Args:
        layers: Layers of the engine.
        expected: Convolutions of the graph.
        engine_name: Name of the engine in error messages.

    Raises:
        QualityError: A layer computes in another precision than the graph, or its precision is
            unknown; the message names the first layers.
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
            f"{engine_name} does not compute in the graph's precisions: "
            f"{'; '.join(wrong[:3])}{more}; "
            "nothing was written"
        )
    return counts


def _find_computing_layer(
    layers: list[EngineLayer], convolution: ExpectedConvolution
) -> tuple[str, str]:
    """Return the layer that computes a convolution, and its precision.

    The precision is that of the weights, which has to be the image's too. Some layers that list a
    node only prepare its input. The weights are the largest tensor that ends in the kernel's sides.
    """
    max_size, name, precision = 0, convolution.node_name, "unknown"
    for layer in layers:
        if convolution.node_name not in layer.onnx_nodes:
            continue
        if layer.weights_precision:
            return layer.name, layer.weights_precision
        tensors = [t for t in layer.inputs if len(t.dims) == 4 and t.precision]
        image_precisions = {t.precision for t in tensors if t.dims[2:] != convolution.kernel}
        for weights in (t for t in tensors if t.dims[2:] == convolution.kernel):
            if image_precisions and math.prod(weights.dims) > max_size:
                max_size, name = math.prod(weights.dims), layer.name
                matches = weights.precision in image_precisions
                precision = "/".join(sorted({weights.precision} if matches else image_precisions))
    return name, precision
