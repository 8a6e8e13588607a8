"""The rewritten last convolution computes the same function."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import openvino as ov
import pytest
from onnx import TensorProto, helper, numpy_helper

from cgt.runtime.engines.openvino_subpixel import use_subpixel_output


def write_model(
    path: Path, size: tuple[int, int], kernel: int = 7, channels: int = 3, **attributes: object
) -> Path:
    """Write reflection padding, a convolution with a bias, and tanh."""
    random = np.random.default_rng(0)
    weights = random.normal(0, 0.1, (channels, 8, kernel, kernel)).astype(np.float32)
    biases = random.normal(0, 1, channels).astype(np.float32)
    pad = kernel // 2
    pads = np.array([0, 0, pad, pad, 0, 0, pad, pad], np.int64)
    shape = [1, 8, *size]
    graph = helper.make_graph(
        [
            helper.make_node("Pad", ["x", "pads"], ["p"], mode="reflect"),
            helper.make_node("Conv", ["p", "w", "b"], ["c"], **attributes),
            helper.make_node("Tanh", ["c"], ["y"]),
        ],
        "generator",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(array, name)
            for name, array in (("w", weights), ("b", biases), ("pads", pads))
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    return path


def infer(model: ov.Model, x: np.ndarray) -> np.ndarray:
    config = {"INFERENCE_PRECISION_HINT": "f32"}
    return ov.Core().compile_model(model, "CPU", config)([x])[0]


@pytest.mark.parametrize("size", [(16, 24), (18, 10)])
@pytest.mark.parametrize(("kernel", "channels"), [(7, 3), (3, 1), (4, 4)])
def test_the_output_stays_the_same(
    size: tuple[int, int], kernel: int, channels: int, tmp_path: Path
) -> None:
    size = (size[0] - (kernel % 2 == 0), size[1] - (kernel % 2 == 0))  # even output sides
    path = write_model(tmp_path / "m.onnx", size, kernel, channels)
    x = np.random.default_rng(1).uniform(-1, 1, (1, 8, *size)).astype(np.float32)
    model = ov.Core().read_model(path)
    expected = infer(model, x)
    assert expected.std() > 0.1
    assert use_subpixel_output(model)
    assert "DepthToSpace" in {op.get_type_name() for op in model.get_ops()}
    actual = infer(model, x)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((15, 24), {}),
        ((16, 24), {"channels": 12}),
        ((16, 24), {"kernel": 1}),
        ((16, 24), {"strides": [2, 2]}),
        ((16, 24), {"dilations": [2, 2]}),
    ],
)
def test_other_convolutions_stay(
    size: tuple[int, int], options: dict[str, object], tmp_path: Path
) -> None:
    model = ov.Core().read_model(write_model(tmp_path / "m.onnx", size, **options))  # type: ignore[arg-type]
    assert not use_subpixel_output(model)


def test_models_of_any_size_stay(tmp_path: Path) -> None:
    model = ov.Core().read_model(write_model(tmp_path / "m.onnx", (16, 24)))
    model.reshape([1, 8, -1, -1])
    assert not use_subpixel_output(model)


def test_fp16_convolutions_are_left_alone(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", (16, 24))
    model = onnx.load(path)
    half = float16_of(model)
    onnx.save(half, path)
    model = ov.Core().read_model(path)
    assert not use_subpixel_output(model)
    x = np.random.default_rng(1).uniform(-1, 1, (1, 8, 16, 24)).astype(np.float16)
    assert infer(model, x).shape == (1, 3, 16, 24)


def float16_of(model: onnx.ModelProto) -> onnx.ModelProto:
    """Convert the tensors of a graph to FP16."""
    for index, tensor in enumerate(model.graph.initializer):
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            converted = numpy_helper.from_array(array.astype(np.float16), tensor.name)
            model.graph.initializer[index].CopyFrom(converted)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    return model
