"""Description of exported models and engines, for `cgt inspect`."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from cgt.runtime.errors import ModelError
from cgt.runtime.models.metadata import ModelMetadata, read_metadata
from cgt.runtime.models.onnx_reader import read_onnx_header
from cgt.runtime.models.sidecar import read_sidecar, sidecar_path
from cgt.runtime.utils.atomic import file_sha256

from .verify.macs import constant_shapes, count_layer_costs, fix_input_shapes, total_macs

OptionalSize = tuple[int, int] | None


def inspect_onnx(path: Path, size: OptionalSize = None) -> dict[str, Any]:
    """Describe an ONNX file by its metadata and its graph, as JSON types.

    Args:
        path: ONNX file.
        size: (height, width) at which to count MACs; None is the model's own size.

    Raises:
        ModelError: The file is not ONNX.
    """
    file = read_onnx_header(path)
    description: dict[str, Any] = {
        "file": str(path),
        "kind": "onnx",
        "bytes": path.stat().st_size,
        "inputs": [{"name": t.name, "shape": list(t.dims)} for t in file.inputs],
        "outputs": [{"name": t.name, "shape": list(t.dims)} for t in file.outputs],
    }
    metadata: ModelMetadata | None = None
    try:
        metadata = read_metadata(path)
    except ModelError as error:
        description["note"] = str(error)
    if metadata and "cgt" in file.metadata:
        description["metadata"] = json.loads(metadata.to_json())
    else:
        description.setdefault("note", "not exported by cgt: it has no metadata, only shapes")
    if importlib.util.find_spec("onnx"):
        description |= _inspect_graph(path, size or (metadata.size if metadata else (256, 256)))
    if metadata and metadata.parameters:  # a graph may have extra constants, such as scales of 1
        description["parameters"] = metadata.parameters
    return description


def _inspect_graph(path: Path, size: tuple[int, int]) -> dict[str, Any]:
    import onnx

    model = onnx.load(path, load_external_data=False)
    sides = fix_input_shapes(model, size)
    try:
        macs: int | None = total_macs(count_layer_costs(path, size))
    except ModelError:  # the shapes cannot be inferred
        macs = None
    return {
        "opset": max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")),
        "nodes": dict(Counter(node.op_type for node in model.graph.node).most_common()),
        "parameters": sum(math.prod(dims) for dims in constant_shapes(model).values()),
        "macs": {"size": list(sides), "count": macs},
    }


def inspect_engine(path: Path) -> dict[str, Any]:
    """Describe an engine by its sidecar, as JSON types; note if the sidecar is for another file.

    Raises:
        ModelError: The engine or its sidecar is missing or damaged.
    """
    sidecar = read_sidecar(path)
    try:
        digest = file_sha256(path)
    except OSError as error:
        raise ModelError(f"engine {path} cannot be read: {error.strerror}") from None
    matches = digest == sidecar.build.files.get(path.suffix)
    return {
        "file": str(path),
        "kind": "engine",
        "bytes": path.stat().st_size,
        "sha256": digest,
        "metadata": json.loads(sidecar.metadata.to_json()),
        "engine": dataclasses.asdict(sidecar.build),
        "note": ""
        if matches
        else f"{sidecar_path(path).name} describes another file; build the engine again: "
        f"{sidecar.build.rebuild_command}",
    }
