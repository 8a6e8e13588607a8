"""Quantization-aware training compared with the exported graph."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from support.students import build_student, student_config
from torch import nn

from cgt.distill.qat import (
    CALIBRATION_BATCHES,
    activation_ranges,
    prepare_qat,
    set_activation_ranges,
)
from cgt.export.quantization.qdq import insert_qdq
from cgt.export.quiet import suppress_output


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 3, 3)
    )


def trained() -> nn.Sequential:
    """Return a network after some batches of training in INT8."""
    net = network()
    prepare_qat(net)
    for _ in range(3):
        net(torch.rand(4, 3, 16, 16) * 2 - 1)
    return net.eval()


def test_rounding_equals_that_of_the_exported_graph(tmp_path: Path) -> None:
    net = trained()
    plain = network().eval()
    plain.load_state_dict(net.state_dict())
    x = torch.rand(1, 3, 16, 16) * 2 - 1
    path = tmp_path / "net.onnx"
    with suppress_output():
        torch.onnx.export(plain, (x,), path, dynamo=True, optimize=False)
    model = onnx.load(path)
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    ranges = [largest for largest, _ in activation_ranges(net).values()]
    insert_qdq(model, {node.name: largest for node, largest in zip(convs, ranges, strict=True)})
    exported = ReferenceEvaluator(model).run(None, {model.graph.input[0].name: x.numpy()})[0]
    with torch.no_grad():
        rounded, exact = net(x).numpy(), plain(x).numpy()
    assert np.abs(rounded - exact).max() > 1e-3  # it does round
    assert np.abs(rounded - exported).max() < 1e-5


def test_gradients_pass_through_the_rounding() -> None:
    net = network()
    prepare_qat(net)
    net(torch.rand(2, 3, 16, 16)).square().mean().backward()
    grads = [p.grad for p in net.parameters()]
    assert all(g is not None and bool(g.abs().sum() > 0) for g in grads)


def test_ranges_settle_and_norms_keep_their_statistics() -> None:
    net = network().train()
    before = copy.deepcopy(net[1].running_mean)
    prepare_qat(net)
    net.train()
    for _ in range(CALIBRATION_BATCHES):
        net(torch.rand(1, 3, 8, 8))
    settled = activation_ranges(net)
    net(100 * torch.rand(1, 3, 8, 8))
    assert activation_ranges(net) == settled
    assert settled["0"][0] == pytest.approx(1, abs=0.05)
    assert torch.equal(net[1].running_mean, before)


def test_ranges_are_copied_to_another_network() -> None:
    net, other = trained(), network()
    prepare_qat(other)
    other.load_state_dict(net.state_dict())
    set_activation_ranges(other, activation_ranges(net))
    x = torch.rand(1, 3, 16, 16)
    assert torch.equal(net(x), other.eval()(x))


def test_ranges_of_0_1_0_are_restored() -> None:
    """Check the alias of the FiLM predictor's modules."""
    student = build_student(student_config())
    prepare_qat(student)
    ranges = {name: [1.0, 5.0] for name in activation_ranges(student)}
    old = {name.replace("film.encoder.", "steering.look."): value for name, value in ranges.items()}
    assert old.keys() != ranges.keys()
    set_activation_ranges(student, old)
    assert activation_ranges(student) == ranges


def test_state_dict_keys_do_not_change() -> None:
    net = network()
    keys = list(net.state_dict())
    prepare_qat(net)
    assert list(net.state_dict()) == keys
