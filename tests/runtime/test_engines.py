"""The contract of the engines, on graphs written for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from cgt.runtime.artifact import read_artifact
from cgt.runtime.engines import BatchShape, open_engine
from cgt.runtime.errors import EngineError

ENGINES = ("openvino", "onnxruntime")


def write_graph(path: Path, statistics: int) -> Path:
    """255 - image for uint8 N,H,W,3; and used = given + 1."""
    image = [
        helper.make_tensor_value_info(name, TensorProto.UINT8, ["n", "h", "w", 3])
        for name in ("image", "translated")
    ]
    numbers = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", statistics])
        for name in ("given", "used")
    ][: 2 if statistics else 0]
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["white", "float"], ["inverse"]),
        helper.make_node("Cast", ["inverse"], ["translated"], to=TensorProto.UINT8),
        helper.make_node("Add", ["given", "one"], ["used"]),
    ][: 4 if statistics else 3]
    graph = helper.make_graph(
        nodes,
        "inverse",
        [image[0], *numbers[:1]],
        [image[1], *numbers[1:]],
        [helper.make_tensor("white", TensorProto.FLOAT, [], [255.0])]
        + [helper.make_tensor("one", TensorProto.FLOAT, [], [1.0])] * bool(statistics),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("fixed", [False, True])
def test_uint8_tensors(tmp_path: Path, engine: str, fixed: bool) -> None:
    path = write_graph(tmp_path / "m.onnx", 0)
    artifact = read_artifact(path)
    assert artifact.io == "uint8"
    assert artifact.dynamic
    image = np.random.default_rng(0).integers(0, 256, (1, 5, 7, 3), np.uint8)
    out = np.zeros_like(image)
    shape = BatchShape.of(artifact, 5, 7) if fixed else BatchShape.of(artifact)
    with open_engine(path, shape, engine) as runner:
        runner.infer(image, out)
    assert (out == 255 - image).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_statistics_go_in_and_out(tmp_path: Path, engine: str) -> None:
    path = write_graph(tmp_path / "m.onnx", 6)
    image = np.zeros((1, 4, 4, 3), np.uint8)
    out = np.zeros_like(image)
    given = np.arange(6, dtype=np.float32)[None]
    used = np.zeros_like(given)
    with open_engine(path, BatchShape(1, 3, 0, 0, "uint8", 6), engine) as runner:
        runner.infer(image, out, given, used)
        assert (used == given + 1).all()
        runner.infer(image, out, used, given)  # arrays may change places from call to call
    assert (given == np.arange(6) + 2).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_wrong_shape_is_an_engine_error(tmp_path: Path, engine: str) -> None:
    path = write_graph(tmp_path / "m.onnx", 0)
    image = np.zeros((1, 4, 4, 2), np.uint8)
    with (
        open_engine(path, BatchShape(1, 3, 0, 0, "uint8"), engine) as runner,
        pytest.raises(EngineError),
    ):
        runner.infer(image, image.copy())
