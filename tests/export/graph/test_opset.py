"""Conversion of graphs to older opsets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx.parser import parse_model
from support.students import STUDENT_CONFIGS, build_student

from cgt.export.exporter import export
from cgt.export.graph.opset import lower_opset
from cgt.export.graph.trace import GraphInterface, trace
from cgt.runtime.engines import BatchShape, open_engine
from cgt.runtime.errors import UsageError
from cgt.trainer.networks.config import GeneratorConfig

from ..factories import make_resnet, make_trained_generator

RUNTIME_FORMATS = {11: 6, 12: 7, 13: 7, 17: 8}  # IR versions that came with the opsets


@pytest.mark.slow
@pytest.mark.parametrize(
    ("opset", "options"),
    [
        (11, {}),
        (11, {"precision": "fp16"}),
        (12, {"io": "uint8"}),
        (11, {"norm": "stream"}),
        (13, {"precision": "int8"}),
    ],
)
def test_old_opsets(
    opset: int,
    options: dict[str, Any],
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The export itself compares the file with PyTorch, at the floor of each precision."""
    generator = make_trained_generator(make_resnet(), dataset)
    if options.get("precision") == "int8":
        monkeypatch.setattr("cgt.export.quantization.sample_images.NUM_IMAGES", 4)
        options = options | {"calib": str(dataset / "trainA"), "calib_frames": 4}
    path, metadata = export(generator, tmp_path / "m.onnx", opset=opset, **options)
    model = onnx.load(path)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", opset)]
    assert model.ir_version == RUNTIME_FORMATS[opset]
    onnx.checker.check_model(model, full_check=True)
    assert metadata.precision == options.get("precision", "fp32")


@pytest.mark.slow
@pytest.mark.parametrize("config", STUDENT_CONFIGS)
def test_networks_of_all_kinds_in_the_oldest_opset(config: GeneratorConfig, tmp_path: Path) -> None:
    network = build_student(config)
    path = tmp_path / "m.onnx"
    model = lower_opset(trace(network, GraphInterface(multiple=config.multiple)), 11)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    x = np.random.default_rng(0).uniform(-1, 1, (1, 3, 32, 48)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(x)).numpy()
    for engine in ("onnxruntime", "openvino"):
        out = np.zeros_like(x)
        with open_engine(path, BatchShape(*x.shape), engine, precision="fp32") as runner:
            runner.infer(x, out)
        assert np.abs(out - expected).max() < 1e-4, engine


def test_axes_and_parts_become_attributes() -> None:
    """Compare every operator with another form in old opsets, in ONNX's own reference."""
    from onnx.reference import ReferenceEvaluator

    model = parse_model(
        """<ir_version: 10, opset_import: ["" : 18]>
        forms (float[2,4,5,6] x) => (float[2,4,9,12] padded, float[2,4] mean, float[2,2,5,6] half)
        <int64[2] axes = {3, -2}, int64[4] pads = {1, 2, 5, 2}, int64[2] sides = {2, 3},
         int64[1] last = {-1}>
        {
            padded = Pad <mode = "constant"> (x, pads, , axes)
            reduced = ReduceMean <keepdims = 1> (x, sides)
            squeezed = Squeeze (reduced, sides)
            wider = Unsqueeze (squeezed, last)
            mean = Squeeze (wider, last)
            half, rest = Split <axis = 1, num_outputs = 2> (x)
        }"""
    )
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 6)).astype(np.float32)
    expected = ReferenceEvaluator(model).run(None, {"x": x})
    for opset in range(11, 18):
        lowered = lower_opset(model, opset)
        lowered.ir_version = onnx.helper.find_min_ir_version_for(lowered.opset_import)
        onnx.checker.check_model(lowered, full_check=True)
        outputs = ReferenceEvaluator(lowered).run(None, {"x": x})
        for output, other in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(output, other, rtol=1e-6)


@pytest.mark.parametrize(
    ("operator", "lowest"),
    [("HardSwish (x)", 14), ("Mish (x)", 18), ("Clip (x)", None), ("Softmax (x)", 13)],
)
def test_a_missing_operator_is_named_with_the_lowest_opset(
    operator: str, lowest: int | None
) -> None:
    model = parse_model(
        '<ir_version: 10, opset_import: ["" : 18]>'
        f"one (float[n,3,h,w] x) => (float[n,3,h,w] y) {{ y = {operator} }}"
    )
    if lowest is None:
        assert lower_opset(model, 11).opset_import[0].version == 11
        return
    name = operator.partition(" ")[0]
    with pytest.raises(UsageError, match=f"--opset 11 has no {name}.*use {lowest} or higher"):
        lower_opset(model, 11)
