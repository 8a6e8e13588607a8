"""Tests of the student generator: sizes, batches, FiLM, color transform, old checkpoints."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch
from support.students import STUDENT_CONFIGS, build_student, student_config
from torch import nn
from torch.optim.swa_utils import AveragedModel

from cgt.export.graph.norms import fold_norms
from cgt.runtime.errors import UsageError
from cgt.trainer.networks import StudentGenerator, build_generator, init_generator
from cgt.trainer.networks.config import GeneratorConfig
from cgt.trainer.networks.macs import count_macs


@pytest.mark.parametrize("config", STUDENT_CONFIGS)
def test_sizes_and_batches(config: GeneratorConfig) -> None:
    """Check that the output of an image does not depend on the rest of its batch."""
    network = build_student(config)
    torch.manual_seed(0)
    for units in ((4, 4), (5, 9)):
        height, width = (n * config.multiple for n in units)
        x = torch.rand(3, 3, height, width) * 2 - 1
        with torch.no_grad():
            out = network(x)
            assert out.shape == x.shape
            assert -1 <= out.min() < out.max() <= 1
            for image, expected in zip(x, out, strict=True):
                torch.testing.assert_close(network(image[None])[0], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("config", STUDENT_CONFIGS)
def test_config_round_trips_through_json(config: GeneratorConfig) -> None:
    restored = GeneratorConfig.from_json(json.loads(json.dumps(config.to_json())))
    assert restored == config
    network = build_generator(restored)
    assert isinstance(network, StudentGenerator)
    network.load_state_dict(build_student(config).state_dict())


def test_film_makes_colors_depend_on_the_whole_image() -> None:
    """Change one corner and compare the opposite one, outside of the receptive field."""
    for norm, is_global in (("batch_film", True), ("batch", False)):
        config = student_config(norm=norm)
        network = build_student(config)
        x = torch.rand(1, 3, 128, 128) * 2 - 1
        other = x.clone()
        other[..., 96:, 96:] = 1
        with torch.no_grad():
            change = (network(x) - network(other)).abs()[..., :32, :32].max()
        assert (change > 1e-4) == is_global, norm


def test_film_is_neutral_at_first_and_trainable() -> None:
    torch.manual_seed(0)
    network = StudentGenerator(student_config())
    init_generator(network)
    x = torch.rand(2, 3, 32, 32)
    plain = StudentGenerator(student_config(norm="batch"))
    plain.load_state_dict(
        {k: v for k, v in network.state_dict().items() if not k.startswith("film.")}
    )
    with torch.no_grad():
        assert torch.equal(network.eval()(x), plain.eval()(x))
    network(x).square().sum().backward()
    assert network.film is not None
    assert network.film.head[-1].weight.grad.abs().max() > 0


@pytest.mark.parametrize(
    "config", [c for c in STUDENT_CONFIGS if c.norm in ("batch", "batch_film")]
)
def test_folding_removes_all_norms(config: GeneratorConfig) -> None:
    network = build_student(config)
    folded = copy.deepcopy(network)
    fold_norms(folded)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    x = torch.rand(1, 3, 32, 48) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(folded(x), network(x), atol=1e-4, rtol=0)


def test_pixel_shuffle_and_separable_convolutions_reduce_macs() -> None:
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
    "settings",
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
def test_invalid_student_configs_are_rejected(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        GeneratorConfig(**settings)


def _old_keys(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a state dict with the key names of checkpoints from before version 0.1.0."""
    pairs = (("film.encoder.", "steering.look."), ("film.head.", "steering.tell."))
    for new, old in pairs:
        state = {key.replace(new, old): value for key, value in state.items()}
    return state


def test_old_state_dict_keys_load() -> None:
    """Load the keys `steering.*` directly and within a moving average."""
    network = build_student(student_config())
    old = _old_keys(network.state_dict())
    assert any(key.startswith("steering.look.1.") for key in old)
    restored = StudentGenerator(student_config())
    restored.load_state_dict(old)
    average = AveragedModel(StudentGenerator(student_config()))
    average.load_state_dict(_old_keys(AveragedModel(network).state_dict()))
    for key, value in network.state_dict().items():
        assert torch.equal(restored.state_dict()[key], value), key
        assert torch.equal(average.module.state_dict()[key], value), key
    with pytest.raises(RuntimeError, match=r"Unexpected.*steering\.other"):
        restored.load_state_dict(old | {"steering.other": torch.zeros(1)})
