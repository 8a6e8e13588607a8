"""An INT8 model as what it was made from: what one would run by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cgt.runtime.artifact import METADATA_KEY, ModelMetadata


def write_dequantized(path: Path, quantized: Path) -> Path:
    """The model in fp32: its tensors stay what they are, its weights stay rounded."""
    import onnx
    from onnx import numpy_helper

    from cgt.export.quantize import dequantized_weights

    model = onnx.load(quantized)
    graph = model.graph
    weights = dequantized_weights(graph)
    before = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "QuantizeLinear"}
    original_name = {
        node.output[0]: before[node.input[0]]
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in before
    }
    kept = [node for node in graph.node if node.output[0] not in (before | original_name | weights)]
    for node in kept:
        node.input[:] = [original_name.get(name, name) for name in node.input]
    del graph.node[:]
    graph.node.extend(kept)
    used = {name for node in kept for name in node.input}
    others = [value for value in graph.initializer if value.name in used]
    del graph.initializer[:]
    graph.initializer.extend(others)
    graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in weights.items())
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            entry.value = replace(ModelMetadata.from_json(entry.value), precision="fp32").to_json()
    onnx.save(model, path)
    return path
