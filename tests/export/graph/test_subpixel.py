"""Subpixel rewrite of convolutions to few channels: the function stays the same."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from cgt.export.graph.subpixel import is_subpixel_conv, undo_subpixel, use_subpixel_conv
from cgt.export.graph.trace import GraphInterface, trace


def run_model(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"image": x})
    return np.asarray(output)


def op_types(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.slow
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("end", ["pad", "zero"])
@pytest.mark.parametrize("channels", [1, 3])
def test_output_is_the_same_at_any_size(bias: bool, end: str, channels: int) -> None:
    torch.manual_seed(0)
    padding = [nn.ReflectionPad2d(3)] if end == "pad" else []
    last = nn.Conv2d(5, channels, 7, padding=0 if padding else 3, bias=bias)
    network = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), *padding, last, nn.Tanh())
    model = trace(network, GraphInterface(multiple=4))
    rewritten = copy.deepcopy(model)
    use_subpixel_conv(rewritten)
    assert op_types(rewritten).count("DepthToSpace") == 1
    onnx.checker.check_model(rewritten, full_check=True)
    weights = {w.name: numpy_helper.to_array(w) for w in rewritten.graph.initializer}
    (node,) = filter(is_subpixel_conv, rewritten.graph.node)
    names = [name for name in ("weight", "bias") if getattr(last, name) is not None]
    for name, stored in zip(names, node.input[1:], strict=True):
        assert np.array_equal(undo_subpixel(weights[stored]), getattr(last, name).detach().numpy())
    for size in ((2, 3, 32, 48), (1, 3, 20, 16)):
        x = np.random.default_rng(1).normal(size=size).astype(np.float32)
        expected = run_model(model, x)
        assert expected.std() > 0.1
        np.testing.assert_allclose(run_model(rewritten, x), expected, atol=1e-6)


@pytest.mark.parametrize(
    "attributes",
    [{"out": 5}, {"kernel": 1}, {"strides": [2, 2]}, {"dilations": [2, 2]}, {"group": 2}],
    ids=lambda attributes: next(iter(attributes)),
)
def test_other_convolutions_are_not_rewritten(attributes: dict[str, object]) -> None:
    attributes = dict(attributes)
    out, k = attributes.pop("out", 2), attributes.pop("kernel", 3)
    group = attributes.get("group", 1)
    assert isinstance(group, int)
    weights = np.ones((out, 4 // group, k, k), np.float32)
    floats = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("image", "y")]
    node = helper.make_node("Conv", ["image", "w"], ["y"], "last", **attributes)
    graph = helper.make_graph(
        [node], "g", floats[:1], floats[1:], [numpy_helper.from_array(weights, "w")]
    )
    model = helper.make_model(graph)
    before = model.SerializeToString()
    use_subpixel_conv(model)
    assert model.SerializeToString() == before


def test_only_the_last_convolution_is_rewritten() -> None:
    """Earlier feature maps may have odd sides: here 5, for an image of 20 pixels."""
    network = nn.Sequential(
        *(nn.Conv2d(3, 4, 3, 4, 1), nn.Conv2d(4, 4, 3, padding=1), nn.Upsample(scale_factor=4)),
        nn.Conv2d(4, 3, 3, padding=1),
    )
    model = trace(network, GraphInterface(multiple=4))
    rewritten = copy.deepcopy(model)
    use_subpixel_conv(rewritten)
    assert [is_subpixel_conv(n) for n in rewritten.graph.node if n.op_type == "Conv"] == [0, 0, 1]
    x = np.random.default_rng(1).normal(size=(1, 3, 20, 20)).astype(np.float32)
    np.testing.assert_allclose(run_model(rewritten, x), run_model(model, x), atol=1e-6)


def test_fp16_weights_stay_fp16() -> None:
    model = trace(nn.Conv2d(3, 3, 3, padding=1), GraphInterface())
    for weight in model.graph.initializer:
        half = numpy_helper.to_array(weight).astype(np.float16)
        weight.CopyFrom(numpy_helper.from_array(half, weight.name))
    use_subpixel_conv(model)
    assert {w.data_type for w in model.graph.initializer} == {TensorProto.FLOAT16}
    assert [list(w.dims) for w in model.graph.initializer] == [[12, 3, 4, 4], [12]]
