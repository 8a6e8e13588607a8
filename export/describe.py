"""What an exported model is, for `cgt inspect`."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from cgt.runtime.artifact import Artifact, read_artifact
from cgt.runtime.errors import ModelError
from cgt.runtime.files import file_sha256
from cgt.runtime.onnxfile import read_onnx
from cgt.runtime.sidecar import read_sidecar, sidecar_path

Size = tuple[int, int] | None


def describe_onnx(path: Path, size: Size = None) -> dict[str, Any]:
    """Plain JSON types: what an ONNX file says of itself, and what its graph says.

    size: height, width at which to count MACs. Raises ModelError when the file is not ONNX.
    """
    file = read_onnx(path)
    facts: dict[str, Any] = {
        "file": str(path),
        "kind": "onnx",
        "bytes": path.stat().st_size,
        "inputs": [{"name": t.name, "shape": list(t.dims)} for t in file.inputs],
        "outputs": [{"name": t.name, "shape": list(t.dims)} for t in file.outputs],
    }
    artifact: Artifact | None = None
    try:
        artifact = read_artifact(path)
    except ModelError as error:
        facts["note"] = str(error)
    if artifact and "cgt" in file.metadata:
        facts["artifact"] = json.loads(artifact.to_json())
    else:
        facts.setdefault("note", "not exported by cgt: it says nothing of itself but its shapes")
    if importlib.util.find_spec("onnx"):
        facts |= _graph(path, size or (artifact.size if artifact else (256, 256)))
    if artifact and artifact.parameters:  # a graph has scales of ones where a network has none
        facts["parameters"] = artifact.parameters
    return facts


def _graph(path: Path, size: tuple[int, int]) -> dict[str, Any]:
    import onnx

    model = onnx.load(path, load_external_data=False)
    weights = {w.name: tuple(w.dims) for w in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            weights[node.output[0]] = tuple(node.attribute[0].t.dims)
    image, *others = (value.type.tensor_type for value in model.graph.input)
    pixels = image.elem_type == onnx.TensorProto.UINT8  # NHWC
    for dim, usual in zip(
        image.shape.dim, (1, *size, 3) if pixels else (1, 3, *size), strict=False
    ):
        dim.dim_value = dim.dim_value or usual
    for other in others:
        for dim in other.shape.dim[:1]:  # the batch
            dim.dim_value = dim.dim_value or 1
    shapes = {}
    for value in onnx.shape_inference.infer_shapes(model, data_prop=True).graph.value_info:
        shapes[value.name] = [d.dim_value for d in value.type.tensor_type.shape.dim]
    for value in (*model.graph.input, *model.graph.output):
        dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
        shapes.setdefault(value.name, dims)
    height, width = [dim.dim_value for dim in image.shape.dim][1 if pixels else 2 :][:2]
    return {
        "opset": max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")),
        "nodes": dict(Counter(node.op_type for node in model.graph.node).most_common()),
        "parameters": sum(math.prod(dims) for dims in weights.values()),
        "macs": {"size": [height, width], "count": _macs(model, shapes, weights)},
    }


def _macs(model: Any, shapes: dict[str, list[int]], weights: dict[str, Any]) -> int | None:
    """Multiply-accumulates of the convolutions; None where shapes are not known throughout.

    Conv: weights [out, in / groups, ...] at each output pixel. ConvTranspose: weights
    [in, out / groups, ...] at each input pixel.
    """
    behind = {output: node for node in model.graph.node for output in node.output}
    total = 0
    for node in model.graph.node:
        if node.op_type not in ("Conv", "ConvTranspose"):
            continue
        kernel = _shape(node.input[1], weights, behind)
        at = shapes.get(node.output[0] if node.op_type == "Conv" else node.input[0])
        if kernel is None or not at or not all(at):
            return None
        total += math.prod(kernel) * at[0] * math.prod(at[2:])
    return total


def _shape(name: str, weights: dict[str, Any], behind: dict[str, Any]) -> Any:
    """Of a weight, through the casts and dequantisations in front of it."""
    while name not in weights and name in behind:
        name = behind[name].input[0]
    return weights.get(name)


def describe_engine(path: Path) -> dict[str, Any]:
    """Plain JSON types: what is written beside an engine (see runtime.sidecar), and whether it
    speaks of this very file. Raises ModelError where either is missing or damaged."""
    sidecar = read_sidecar(path)
    try:
        digest = file_sha256(path)
    except OSError as error:
        raise ModelError(f"engine {path} cannot be read: {error.strerror}") from None
    same = digest == sidecar.build.files.get(path.suffix)
    return {
        "file": str(path),
        "kind": "engine",
        "bytes": path.stat().st_size,
        "sha256": digest,
        "artifact": json.loads(sidecar.artifact.to_json()),
        "engine": dataclasses.asdict(sidecar.build),
        "note": ""
        if same
        else f"not the file that its {sidecar_path(path).name} describes; build it again: "
        f"{sidecar.build.again}",
    }
