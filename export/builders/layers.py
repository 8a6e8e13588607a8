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
_PRECISIONS = {
    "float": "fp32",
    "fp32": "fp32",
    "half": "fp16",
    "fp16": "fp16",
    "bfloat16": "bf16",
    "bf16": "bf16",
    "int8": "int8",
}
_TYPE = re.compile("|".join(sorted(_PRECISIONS, key=len, reverse=True)), re.IGNORECASE)
_ONNX = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
_TENSOR = re.compile(r"Dimensions: \[([-\d,]*)\].*?Datatype: (\w+)")
_LAYER = re.compile(
    r"^Name: (?P<name>.*), LayerType: (?P<kind>\w+), Inputs: \[(?P<inputs>.*)\], "
    r"Constants: \[(?P<constants>.*)\], Outputs: \[.*Metadata: (?P<nodes>.*)$"
)


@dataclass(frozen=True)
class Tensor:
    """dims: -1 where they vary. precision: "" for a type of no interest here."""

    dims: tuple[int, ...]
    precision: str


@dataclass(frozen=True)
class Layer:
    """A layer of an engine. weights: the precision of its weights where the engine says so.
    nodes: the ONNX nodes that it computes, among others."""

    name: str
    kind: str
    inputs: tuple[Tensor, ...]
    nodes: frozenset[str]
    weights: str = ""


@dataclass(frozen=True)
class Convolution:
    """A convolution, plain or transposed, as the graph wants it."""

    node: str
    kernel: tuple[int, ...]
    precision: str


def layers_of_log(messages: Iterable[str]) -> list[Layer]:
    """From the builder's VERBOSE messages with DETAILED profiling; needs no GPU."""
    layers = []
    for line in (line for message in messages for line in message.splitlines()):
        found = _LAYER.match(line.strip())
        if found:
            tensors = _TENSOR.findall(found["inputs"]) + _TENSOR.findall(found["constants"])
            layers.append(
                Layer(
                    found["name"],
                    found["kind"],
                    tuple(
                        Tensor(tuple(int(side) for side in dims.split(",") if side), _read(kind))
                        for dims, kind in tensors
                    ),
                    frozenset(_ONNX.findall(found["nodes"])),
                )
            )
    return layers


def layers_of_inspector(text: str) -> list[Layer]:
    """From EngineInspector's JSON of an engine built with DETAILED profiling."""
    layers = []
    for layer in json.loads(text)["Layers"]:
        if not isinstance(layer, dict):
            continue  # of an engine without details: names alone
        tensors = [*layer.get("Inputs", ()), *layer.get("Constants", ())]
        layers.append(
            Layer(
                layer.get("Name", ""),
                layer.get("LayerType", ""),
                tuple(Tensor(tuple(t.get("Dimensions", ())), _type_of(t)) for t in tensors),
                frozenset(_ONNX.findall(str(layer.get("Metadata", "")))),
                _read(str(layer.get("Weights", {}).get("Type", ""))),
            )
        )
    return layers


def _type_of(tensor: dict[str, Any]) -> str:
    return _read(str(tensor.get("Datatype") or tensor.get("Format/Datatype", "")))


def _read(text: str) -> str:
    found = _TYPE.search(text)
    return _PRECISIONS[found.group().lower()] if found else ""


def verify(layers: list[Layer], wanted: list[Convolution], where: str) -> Counter[str]:
    """How many convolutions compute in which precision.

    Raises QualityError naming the first layers that compute in another precision than the graph
    says, or whose precision cannot be told.
    """
    counts: Counter[str] = Counter()
    wrong = []
    for convolution in wanted:
        layer, precision = _computed_in(layers, convolution)
        counts[precision] += 1
        if precision != convolution.precision:
            wrong.append(f"{layer} is {precision} and not {convolution.precision}")
    if not wanted:
        raise QualityError(f"{where} has no convolution to check")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise QualityError(
            f"{where} does not compute as the graph says: {'; '.join(wrong[:3])}{more}; "
            "nothing was written"
        )
    return counts


def _computed_in(layers: list[Layer], convolution: Convolution) -> tuple[str, str]:
    """The layer that computes it, and in which precision: that of its weights, which has to be
    the image's too. Of the layers that mention a node some only prepare its input; the weights
    are the largest tensor that ends in the kernel's sides."""
    size, name, precision = 0, convolution.node, "unknown"
    for layer in layers:
        if convolution.node not in layer.nodes:
            continue
        if layer.weights:
            return layer.name, layer.weights
        four = [tensor for tensor in layer.inputs if len(tensor.dims) == 4 and tensor.precision]
        images = {tensor.precision for tensor in four if tensor.dims[2:] != convolution.kernel}
        for weights in (tensor for tensor in four if tensor.dims[2:] == convolution.kernel):
            if images and math.prod(weights.dims) > size:
                size, name = math.prod(weights.dims), layer.name
                both = {weights.precision} if weights.precision in images else images
                precision = "/".join(sorted(both))
    return name, precision
