"""What an exported model is, for `cgt inspect`."""

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
    """Plain JSON types: what an ONNX file says of itself, and what its graph says.

    size: height, width at which to count MACs. Raises ModelError when the file is not ONNX.
    """
    file = read_onnx_header(path)
    facts: dict[str, Any] = {
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
        facts["note"] = str(error)
    if metadata and "cgt" in file.metadata:
        facts["metadata"] = json.loads(metadata.to_json())
    else:
        facts.setdefault("note", "not exported by cgt: it says nothing of itself but its shapes")
    if importlib.util.find_spec("onnx"):
        facts |= _inspect_graph(path, size or (metadata.size if metadata else (256, 256)))
    if metadata and metadata.parameters:  # a graph has scales of ones where a network has none
        facts["parameters"] = metadata.parameters
    return facts


def _inspect_graph(path: Path, size: tuple[int, int]) -> dict[str, Any]:
    import onnx

    model = onnx.load(path, load_external_data=False)
    sides = fix_input_shapes(model, size)
    try:
        multiply_adds: int | None = total_macs(count_layer_costs(path, size))
    except ModelError:  # shapes that cannot be told beforehand
        multiply_adds = None
    return {
        "opset": max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")),
        "nodes": dict(Counter(node.op_type for node in model.graph.node).most_common()),
        "parameters": sum(math.prod(dims) for dims in constant_shapes(model).values()),
        "macs": {"size": list(sides), "count": multiply_adds},
    }


def inspect_engine(path: Path) -> dict[str, Any]:
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
        "metadata": json.loads(sidecar.metadata.to_json()),
        "engine": dataclasses.asdict(sidecar.build),
        "note": ""
        if same
        else f"not the file that its {sidecar_path(path).name} describes; build it again: "
        f"{sidecar.build.rebuild_command}",
    }
