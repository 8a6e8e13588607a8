"""The networks of students: sizes, batches, what steers them."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch
from support.students import STUDENT_CONFIGS, build_student, student_config
from torch import nn

from cgt.export.graph.norms import fold_norms
from cgt.runtime.errors import UsageError
from cgt.trainer.networks import StudentGenerator, build_generator, init_generator
from cgt.trainer.networks.config import GeneratorConfig
from cgt.trainer.networks.macs import count_macs


@pytest.mark.parametrize("config", STUDENT_CONFIGS)
def test_any_multiple_any_batch(config: GeneratorConfig) -> None:
    """A picture is translated the same whatever it shares its batch with."""
    network = build_student(config)
    torch.manual_seed(0)
    for units in ((4, 4), (5, 9)):
        height, width = (n * config.multiple for n in units)
        x = torch.rand(3, 3, height, width) * 2 - 1
        with torch.no_grad():
            together = network(x)
            assert together.shape == x.shape
            assert -1 <= together.min() < together.max() <= 1
            for alone, one in zip(x, together, strict=True):
                torch.testing.assert_close(network(alone[None])[0], one, atol=1e-4, rtol=0)


@pytest.mark.parametrize("config", STUDENT_CONFIGS)
def test_a_description_is_all_but_the_weights(config: GeneratorConfig) -> None:
    again = GeneratorConfig.from_json(json.loads(json.dumps(config.to_json())))
    assert again == config
    network = build_generator(again)
    assert isinstance(network, StudentGenerator)
    network.load_state_dict(build_student(config).state_dict())


def test_the_tone_of_a_steered_picture_depends_on_all_of_it() -> None:
    """A corner's translation changes when the far corner does, beyond what convolutions see."""
    for norm, moves in (("batch_film", True), ("batch", False)):
        config = student_config(norm=norm)
        network = build_student(config)
        x = torch.rand(1, 3, 128, 128) * 2 - 1
        other = x.clone()
        other[..., 96:, 96:] = 1
        with torch.no_grad():
            change = (network(x) - network(other)).abs()[..., :32, :32].max()
        assert (change > 1e-4) == moves, norm


def test_a_new_student_is_not_steered_yet_and_learns_to_be() -> None:
    torch.manual_seed(0)
    network = StudentGenerator(student_config())
    init_generator(network)
    x = torch.rand(2, 3, 32, 32)
    plain = StudentGenerator(student_config(norm="batch"))
    plain.load_state_dict(
        {k: v for k, v in network.state_dict().items() if not k.startswith("steering")}
    )
    with torch.no_grad():
        assert torch.equal(network.eval()(x), plain.eval()(x))
    network(x).square().sum().backward()
    assert network.film is not None
    assert network.film.head[-1].weight.grad.abs().max() > 0


@pytest.mark.parametrize(
    "config", [c for c in STUDENT_CONFIGS if c.norm in ("batch", "batch_film")]
)
def test_no_norm_is_left_when_folded(config: GeneratorConfig) -> None:
    network = build_student(config)
    folded = copy.deepcopy(network)
    fold_norms(folded)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    x = torch.rand(1, 3, 32, 48) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(folded(x), network(x), atol=1e-4, rtol=0)


def test_patches_and_separable_convolutions_compute_less() -> None:
    size = (256, 256)
    full = count_macs(student_config(ngf=16, shuffle_factor=1, n_downsampling=2), size)
    assert count_macs(student_config(ngf=32, shuffle_factor=2, n_downsampling=1), size) < full
    assert (
        count_macs(
            student_config(ngf=16, shuffle_factor=1, n_downsampling=2, block="separable"), size
        )
        < full
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "resnet2", "norm": "batch_film"},
        {"kind": "resnet2", "shuffle_factor": 2},
        {"kind": "resnet2", "color_transform": True, "learn_residual": True},
        {"kind": "student2", "color_transform": True},
        {"kind": "student2", "shuffle_factor": 3},
        {"kind": "student2", "stem_kernel": 4},
        {"kind": "student0"},
    ],
)
def test_impossible_students_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        GeneratorConfig(**wrong)
