"""Tests of the ResNet generator, its initialization and its gradients."""

import copy

import pytest
import torch
from torch import nn

from cgt.runtime.errors import UsageError
from cgt.trainer.config import TrainConfig
from cgt.trainer.methods.cyclegan import CycleGAN
from cgt.trainer.networks import PatchDiscriminator, ResnetGenerator, init_generator, init_weights
from cgt.trainer.networks.config import GeneratorConfig


def count_parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_parameter_counts_match_the_paper() -> None:
    assert count_parameters(ResnetGenerator(GeneratorConfig("resnet9"))) == 11_378_179
    assert count_parameters(ResnetGenerator(GeneratorConfig("resnet6"))) == 7_837_699
    assert count_parameters(PatchDiscriminator()) == 2_764_737


def test_state_dict_keys_match_the_reference() -> None:
    keys = set(ResnetGenerator(GeneratorConfig("resnet9", 4)).state_dict())
    assert {f"model.{i}.weight" for i in (1, 4, 7, 19, 22, 26)} <= keys
    assert {f"model.{i}.conv_block.{j}.weight" for i in range(10, 19) for j in (1, 5)} <= keys
    assert len(keys) == 2 * (6 + 18)


def test_receptive_field_of_the_discriminator_is_70() -> None:
    """Measure by the gradient of one logit, without norms, because these see the whole image."""
    network = PatchDiscriminator(4)
    for index in (3, 6, 9):
        network.model[index] = nn.Identity()
    x = torch.randn(1, 3, 256, 256, requires_grad=True)
    network(x)[0, 0, 15, 15].backward()
    rows = torch.nonzero(x.grad.abs().sum((0, 1, 3)))
    columns = torch.nonzero(x.grad.abs().sum((0, 1, 2)))
    assert rows.max() - rows.min() + 1 == columns.max() - columns.min() + 1 == 70


@pytest.mark.parametrize("size", [(32, 32), (64, 40), (256, 456)])
def test_generator_keeps_size(size: tuple[int, int]) -> None:
    out = ResnetGenerator(GeneratorConfig("resnet1", 4))(torch.randn(1, 3, *size))
    assert out.shape == (1, 3, *size)
    assert out.abs().max() <= 1


def test_residual_generator_adds_its_input() -> None:
    network = ResnetGenerator(GeneratorConfig("resnet1", 4, learn_residual=True))
    for parameter in network.model[-2].parameters():
        nn.init.zeros_(parameter)
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(network(x), x)


def test_activations_keep_their_scale_without_norms() -> None:
    torch.manual_seed(0)
    network = ResnetGenerator(GeneratorConfig("resnet6", 16, norm="none"))
    init_generator(network)
    assert not any(isinstance(module, nn.InstanceNorm2d) for module in network.modules())
    x = torch.randn(1, 3, 64, 64)
    for layer in network.model[:-2]:
        x = layer(x)
    assert 0.1 < x.std() < 10


def test_initial_weights_match_the_paper() -> None:
    network = ResnetGenerator(GeneratorConfig("resnet6", 16))
    init_weights(network)
    weights = torch.cat([p.flatten() for p in network.parameters() if p.dim() == 4])
    assert weights.std().item() == pytest.approx(0.02, rel=0.01)
    assert all((p == 0).all() for p in network.parameters() if p.dim() == 1)


@pytest.mark.parametrize("kind", ["resnet", "resnet0", "unet200", "unet4", "resnet999", ""])
def test_unknown_generators_are_rejected(kind: str) -> None:
    with pytest.raises(UsageError, match="generator"):
        ResnetGenerator(GeneratorConfig(kind))


def test_gradients_of_a_step_equal_those_in_float64() -> None:
    """Check that training avoids a PyTorch bug that would fail silently.

    The backward of InstanceNorm2d is wrong for one channels-last image on the CPU.
    """
    config = TrainConfig(
        data="", generator="resnet2", ngf=8, ndf=8, crop_size=32, load_size=32, precision="fp32"
    )
    model = CycleGAN(config, torch.device("cpu"), None)
    exact = CycleGAN(config, torch.device("cpu"), None)
    for name, network in exact.networks.items():
        network.load_state_dict(copy.deepcopy(model.networks[name].state_dict()))
        network.to(dtype=torch.float64, memory_format=torch.contiguous_format)
    a, b = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    for m, x, y in ((model, a, b), (exact, a.double(), b.double())):
        outputs = m.forward(x, y)
        sum(m.full_objective(x, y, outputs).values()).backward()
        for network, real, fake in ((m.D_Y, y, outputs.fake_b), (m.D_X, x, outputs.fake_a)):
            m.real_fake_loss(network, real, fake.detach()).backward()
    for name, network in model.networks.items():
        for (key, p), q in zip(
            network.named_parameters(), exact.networks[name].parameters(), strict=True
        ):
            if q.grad.norm() > 1e-6:  # biases before a norm have only rounding errors
                error = (p.grad.double() - q.grad).norm() / q.grad.norm()
                assert error < 1e-3, (name, key, error.item())
