"""Memory traffic of the engines that TensorRT-RTX builds, from its layer table; needs no GPU.

A change of the exporter, or of the builder, that breaks a fusion shows here.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import nn

from cgt.export import build_engine
from cgt.export.builders import tensorrt as builder
from cgt.export.builders.tensorrt_traffic import EngineTraffic, sum_traffic
from cgt.export.config import NormPrecision
from cgt.export.formats import BuildOptions
from cgt.export.graph.norms import split_large_sums
from cgt.export.graph.reduced_precision import ReducedPrecision
from cgt.export.graph.subpixel import use_subpixel_conv
from cgt.export.graph.trace import GraphInterface, trace
from cgt.export.graph.uint8_io import Uint8IO
from cgt.export.quantization.qdq import insert_qdq
from cgt.export.shapes import parse_shapes
from cgt.runtime.models.metadata import METADATA_KEY, ModelMetadata

from ..factories import make_resnet

_LAYER = (
    "Name: __myl_Cast_myl0_0, LayerType: kgen, Inputs: [ { Name: image, Dimensions: [1,8,8,3], "
    "Strides: [192,24,3,1], Datatype: UInt8, Format: (Linear) Row major linear format }], "
    "Constants: [ { Name: w, Dimensions: [64,64,3,3], Datatype: Half }], Outputs: [ { Name: out, "
    "Dimensions: [1,3,8,8], Datatype: Half }, { Name: mean, Dimensions: [1,3,1,1], Datatype: Float "
    "}], TacticName: __myl_0x1, StreamId: 0, Metadata: [ONNX Layer: a][ONNX Layer: b]"
)


def test_inputs_and_outputs_are_summed() -> None:
    one = 192 + 2 * 192 + 4 * 3
    assert sum_traffic([f"Layers:\n{_LAYER}\n{_LAYER}\n"]) == EngineTraffic(2, 2 * one)
    assert str(EngineTraffic(80, 450_400_000)) == "80 kernels move 450 MB of activations"


@pytest.mark.parametrize(
    ("old", "new"), [(_LAYER, ""), ("[1,8,8,3]", "[-1,8,8,3]"), ("Datatype: Half", "Datatype: X")]
)
def test_unknown_traffic(old: str, new: str) -> None:
    assert sum_traffic([f"Layers:\n{_LAYER.replace(old, new)}"]) is None


def _traffic(
    network: nn.Module, norm: NormPrecision, folder: Path, monkeypatch: Any, int8: bool = False
) -> EngineTraffic:
    """Build an FP16 engine with uint8 tensors for 256x256 and return its traffic."""
    reduced = ReducedPrecision(copy.deepcopy(network), torch.float16, norm)
    split_large_sums(reduced, (1, 3, 256, 256))
    shapes = parse_shapes("256", None, 4, (256, 256))
    model = trace(Uint8IO(reduced), GraphInterface(3, 4, "uint8", 0, shapes), 19)
    use_subpixel_conv(model)
    if int8:
        names = [node.name for node in model.graph.node if node.op_type == "Conv"]
        insert_qdq(model, dict.fromkeys(names, 4.0))
    metadata = ModelMetadata(
        direction="AtoB",
        domains=("a", "b"),
        size=(256, 256),
        dynamic=False,
        multiple=4,
        io="uint8",
        norm="instance",
        precision="int8-fp16" if int8 else "fp16",
        profiles=tuple(profile.to_json() for profile in shapes.profiles),
    )
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, metadata.to_json()
    path = folder / f"{norm}_{int8}.onnx"
    onnx.save(model, path)
    logs: list[Any] = []
    make_log = builder.make_logger
    with monkeypatch.context() as patch:
        patch.setattr(builder, "make_logger", lambda api: logs.append(make_log(api)) or logs[0])
        lines: list[str] = []
        options = BuildOptions(compute_capabilities=(89,))
        build_engine(path, "tensorrt-rtx", path.with_suffix(".engine"), options, log=lines.append)
    traffic = sum_traffic(logs[0].tables[-1:])
    assert traffic is not None
    assert f"memory traffic: {traffic} per run" in lines
    return traffic


@pytest.mark.slow
def test_norms_of_a_resnet9_move_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images of norms in FP32 are most of the traffic; mixed norms must not make any."""
    network = make_resnet("resnet9", 64)
    whole = _traffic(network, "fp32", tmp_path, monkeypatch)
    mixed = _traffic(network, "mixed", tmp_path, monkeypatch)
    int8 = _traffic(network, "mixed", tmp_path, monkeypatch, int8=True)
    assert mixed.activation_bytes <= 450e6
    assert mixed.kernels <= 80
    assert int8.activation_bytes <= 540e6
    assert mixed.activation_bytes < 0.6 * whole.activation_bytes
