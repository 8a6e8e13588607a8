"""Conversion of a graph to an older opset, for older versions of TensorRT and ONNX Runtime.

`onnx.version_converter` has no way down for Pad and ReduceMean of opset 18, which our graphs have.
An operator is taken over unchanged only if the changelog of ONNX
(github.com/onnx/onnx/blob/main/docs/Changelog.md) lists nothing but further types between the two
versions; all others need a function here, or are refused.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from cgt.runtime.errors import UsageError

OLDEST_OPSET = 11  # the first with Clip by inputs, Round, and DepthToSpace by columns and rows

# Later versions have further types, or attributes that the checker refuses in the older version.
_SAME_MEANING = frozenset(
    {"Abs", "Add", "AveragePool", "Cast", "Clip", "Concat", "Constant", "Conv", "ConvTranspose"}
    | {"DepthToSpace", "DequantizeLinear", "Div", "Equal", "Erf", "Exp", "Expand", "Flatten"}
    | {"Gather", "Gemm", "GlobalAveragePool", "Identity", "InstanceNormalization", "LeakyRelu"}
    | {"Less", "Log", "MatMul", "Max", "Min", "Mul", "Neg", "PRelu", "Pow", "QuantizeLinear"}
    | {"Reciprocal", "Relu", "Sigmoid", "Slice", "SpaceToDepth", "Sqrt", "Sub"}
    | {"Tanh", "Tile", "Transpose", "Where"}
)


class _Unsupported(Exception):
    """The operator has no equivalent in the opset."""


class _Initializers:
    """The constants of a graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._values = {each.name: numpy_helper.to_array(each) for each in graph.initializer}

    def integers(self, name: str) -> list[int]:
        """Return the values of a constant that the graph may compute; raise then."""
        if name not in self._values:
            raise _Unsupported
        return [int(value) for value in self._values[name].ravel()]

    def is_constant(self, name: str) -> bool:
        return name in self._values

    def add(self, name: str, values: list[int] | NDArray[np.float32]) -> str:
        array = np.array(values, np.int64) if isinstance(values, list) else values
        self._graph.initializer.append(numpy_helper.from_array(array, name))
        return name


def lower_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Return the model in an older opset, with the same function.

    Args:
        model: A model of a later opset.
        opset: The opset to convert to, OLDEST_OPSET or later.

    Raises:
        UsageError: The opset lacks an operator of the model; the message has the lowest one that
            does not.
    """
    try:
        return _lower(model, opset)
    except _Unsupported as error:
        highest = model.opset_import[0].version
        for other in range(opset + 1, highest):
            try:
                _lower(model, other)
            except _Unsupported:
                continue
            highest = other
            break
        raise UsageError(
            f"--opset {opset} has no {error}, which this network needs; use {highest} or higher"
        ) from None


def _lower(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    lowered = onnx.ModelProto()
    lowered.CopyFrom(model)
    source = lowered.opset_import[0].version
    lowered.opset_import[0].version = opset
    initializers = _Initializers(lowered.graph)
    nodes: list[onnx.NodeProto] = []
    for node in lowered.graph.node:
        try:
            nodes += [node, *_lower_node(node, source, opset, initializers)]
        except _Unsupported:
            raise _Unsupported(node.op_type) from None
    del lowered.graph.node[:]
    lowered.graph.node.extend(nodes)
    _drop_unused_initializers(lowered.graph)
    return lowered


def _lower_node(
    node: onnx.NodeProto, source: int, opset: int, initializers: _Initializers
) -> list[onnx.NodeProto]:
    """Change a node in place, and return the nodes that must follow it.

    Raises _Unsupported if the opset cannot express it.
    """
    try:
        target = onnx.defs.get_schema(node.op_type, opset)
    except onnx.defs.SchemaError:
        raise _Unsupported from None
    since = target.since_version
    if onnx.defs.get_schema(node.op_type, source).since_version == since:
        return []
    followers: list[onnx.NodeProto] = []
    if node.op_type in _CONVERSIONS:
        followers = _CONVERSIONS[node.op_type](node, since, initializers)
    elif node.op_type not in _SAME_MEANING:
        raise _Unsupported
    _drop_default_attributes(node, target)
    return followers


def _drop_default_attributes(node: onnx.NodeProto, target: onnx.defs.OpSchema) -> None:
    """Remove the attributes that the older version lacks and always acts upon as by default."""
    for attribute in list(node.attribute):
        if attribute.name in target.attributes:
            continue
        newest = onnx.defs.get_schema(node.op_type).attributes[attribute.name].default_value
        if helper.get_attribute_value(attribute) != helper.get_attribute_value(newest):
            raise _Unsupported
        node.attribute.remove(attribute)


def _move_axes_to_attribute(
    node: onnx.NodeProto, since: int, initializers: _Initializers, first_with_input: int
) -> list[onnx.NodeProto]:
    if since < first_with_input and len(node.input) > 1:
        axes = initializers.integers(node.input[1])
        del node.input[1:]
        node.attribute.append(helper.make_attribute("axes", axes))
    return []


def _lower_reduction(
    node: onnx.NodeProto, since: int, initializers: _Initializers
) -> list[onnx.NodeProto]:
    return _move_axes_to_attribute(node, since, initializers, 18)


def _lower_squeeze(
    node: onnx.NodeProto, since: int, initializers: _Initializers
) -> list[onnx.NodeProto]:
    return _move_axes_to_attribute(node, since, initializers, 13)


def _lower_reshape(
    node: onnx.NodeProto, _: int, initializers: _Initializers
) -> list[onnx.NodeProto]:
    """Drop `allowzero`: PyTorch sets it always, and sides computed from an image are not 0."""
    shape = node.input[1]
    allowzero = any(each.name == "allowzero" and each.i for each in node.attribute)
    if allowzero and initializers.is_constant(shape) and 0 in initializers.integers(shape):
        raise _Unsupported
    _remove_attributes(node, "allowzero")
    return []


def _lower_resize(
    node: onnx.NodeProto, since: int, initializers: _Initializers
) -> list[onnx.NodeProto]:
    """Give empty constants for the inputs that were not optional before opset 13."""
    if since < 13:
        while len(node.input) < 3:
            node.input.append("")
        for number in (1, 2):
            if not node.input[number]:
                name = f"{node.output[0]}.empty{number}"
                node.input[number] = initializers.add(name, np.zeros(0, np.float32))
    return []


def _lower_shape(node: onnx.NodeProto, _: int, initializers: _Initializers) -> list[onnx.NodeProto]:
    """Slice the sides from `start` to `end` out of all of them."""
    span = {attribute.name: attribute.i for attribute in node.attribute}
    _remove_attributes(node, "start", "end")
    out = node.output[0]
    node.output[0] = f"{out}.all"
    inputs = [
        initializers.add(f"{out}.start", [span.get("start", 0)]),
        initializers.add(f"{out}.end", [span.get("end", np.iinfo(np.int64).max)]),
    ]
    return [helper.make_node("Slice", [node.output[0], *inputs], [out], f"{out}.Slice")]


def _lower_pad(
    node: onnx.NodeProto, since: int, initializers: _Initializers
) -> list[onnx.NodeProto]:
    """Write the pads of all four axes; before opset 18 there is no choice of axes."""
    if since >= 18 or len(node.input) < 4 or not node.input[3]:
        return []
    rank, axes = 4, initializers.integers(node.input[3])
    pads = initializers.integers(node.input[1])
    full = [0] * (2 * rank)
    for number, axis in enumerate(axes):
        full[axis % rank] = pads[number]
        full[rank + axis % rank] = pads[len(axes) + number]
    node.input[1] = initializers.add(f"{node.output[0]}.pads", full)
    del node.input[3:]
    return []


def _lower_split(
    node: onnx.NodeProto, since: int, initializers: _Initializers
) -> list[onnx.NodeProto]:
    if since < 18:
        _remove_attributes(node, "num_outputs")  # equal parts, the default of older versions
    if since < 13 and len(node.input) > 1:
        parts = initializers.integers(node.input[1])
        del node.input[1:]
        node.attribute.append(helper.make_attribute("split", parts))
    return []


def _remove_attributes(node: onnx.NodeProto, *names: str) -> None:
    for attribute in list(node.attribute):
        if attribute.name in names:
            node.attribute.remove(attribute)


_Convert = Callable[[onnx.NodeProto, int, _Initializers], list[onnx.NodeProto]]
_CONVERSIONS: dict[str, _Convert] = {
    "Pad": _lower_pad,
    "ReduceL2": _lower_reduction,
    "ReduceMax": _lower_reduction,
    "ReduceMean": _lower_reduction,
    "ReduceMin": _lower_reduction,
    "ReduceSumSquare": _lower_reduction,
    "ReduceSum": _lower_squeeze,
    "Reshape": _lower_reshape,
    "Resize": _lower_resize,
    "Shape": _lower_shape,
    "Split": _lower_split,
    "Squeeze": _lower_squeeze,
    "Unsqueeze": _lower_squeeze,
}


def _drop_unused_initializers(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    kept = [each for each in graph.initializer if each.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
