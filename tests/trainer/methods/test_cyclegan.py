"""Tests of the CycleGAN method and of TrainConfig."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cgt.runtime.errors import UsageError
from cgt.trainer.config import CHOICES, TrainConfig
from cgt.trainer.data.dataset import open_dataset
from cgt.trainer.methods import METHODS
from cgt.trainer.methods.cyclegan import CycleGAN
from cgt.trainer.methods.losses import GAN_LOSSES, PIXEL_LOSSES
from cgt.trainer.train import parse_domain_names

CPU = torch.device("cpu")


def small(**changes: object) -> TrainConfig:
    settings = {
        "data": "",
        "generator": "resnet1",
        "ngf": 4,
        "ndf": 4,
        "load_size": 36,
        "crop_size": 32,
        "precision": "fp32",
    }
    return TrainConfig(**(settings | changes))


def test_generator_losses_match_the_paper() -> None:
    model = CycleGAN(small(lambda_cycle=10.0, lambda_identity=0.5), CPU, None)
    a, b = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        losses = model.full_objective(a, b, model.forward(a, b))
        G, F, D_Y, D_X = model.G, model.F, model.D_Y, model.D_X
        expected = {
            "G_A": ((D_Y(G(a)) - 1) ** 2).mean(),
            "G_B": ((D_X(F(b)) - 1) ** 2).mean(),
            "cycle_A": 10 * (F(G(a)) - a).abs().mean(),
            "cycle_B": 10 * (G(F(b)) - b).abs().mean(),
            "identity_A": 5 * (F(a) - a).abs().mean(),
            "identity_B": 5 * (G(b) - b).abs().mean(),
        }
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, msg=name)


def test_discriminator_loss_is_halved() -> None:
    model = CycleGAN(small(), CPU, None)
    real, fake = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        loss = model.real_fake_loss(model.D_Y, real, fake)
        expected = 0.5 * (((model.D_Y(real) - 1) ** 2).mean() + (model.D_Y(fake) ** 2).mean())
    torch.testing.assert_close(loss, expected)


def test_step_updates_every_network() -> None:
    model = CycleGAN(small(pool_size=0), CPU, None)
    original = {k: [p.clone() for p in n.parameters()] for k, n in model.networks.items()}
    a, b = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    model.step(a, b, position=0)
    for name, network in model.networks.items():
        assert any(
            not torch.equal(p, q) for p, q in zip(network.parameters(), original[name], strict=True)
        ), name
    assert all(p.requires_grad for n in model.networks.values() for p in n.parameters())


def test_moving_average_follows_the_generators() -> None:
    model = CycleGAN(small(ema=0.5, lr=1e-2), CPU, None)
    first = [p.clone() for p in model.G.parameters()]  # the average starts as a copy
    a, b = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    expected = None
    for _ in range(3):
        model.step(a, b, position=0)
        current = [p.detach().clone() for p in model.G.parameters()]
        if expected:
            expected = [(e + c) / 2 for e, c in zip(expected, current, strict=True)]
        else:
            expected = current
    for mean, value in zip(model.ema_generators["G_A"].parameters(), expected, strict=True):
        torch.testing.assert_close(mean, value)
    assert not torch.equal(first[0], expected[0])
    assert CycleGAN(small(), CPU, None).ema_generators == {}


@pytest.mark.parametrize(
    "change",
    [
        {"ngf": 0},
        {"lr": 0},
        {"epochs": 0, "decay_epochs": 0},
        {"crop_size": 33},
        {"crop_size": 40},
        {"precision": "fp8"},
        {"lambda_cycle": -1},
        {"generator": "vgg"},
        {"discriminator": "critic"},
        {"norm": "group"},
        {"ema": 1.0},
        {"upsampling": "bilinear"},
        {"gan_loss": "wgan"},
        {"init": "zeros"},
        {"preprocess": "squash"},
        {"schedule": "up"},
        {"accumulate": 0},
        {"channels_a": 4},
        {"channels_a": 1},
        {"decay_steps": 5},
        {"method": "stargan"},
        {"best": "fid"},
    ],
)
def test_invalid_settings_are_rejected(change: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        small(**change)


def test_every_choice_has_an_implementation() -> None:
    """Compare the config, which lists names without importing methods, with the methods."""
    assert CHOICES["method"] == tuple(METHODS)
    assert CHOICES["gan_loss"] == tuple(GAN_LOSSES)
    assert CHOICES["cycle_loss"] == tuple(PIXEL_LOSSES)


def test_old_field_names_and_values_load() -> None:
    """Restore the config of a checkpoint written before version 0.1.0."""
    config = small(on_corrupt="skip", block="separable", generator_json={"kind": "resnet2"})
    old = config.to_json() | {"broken": "skip", "block": "mobile", "described": {"kind": "resnet2"}}
    del old["on_corrupt"], old["generator_json"]
    assert TrainConfig.from_json(old) == config


def test_config_round_trips_through_json() -> None:
    config = small(seed=5, lr=1e-3)
    assert TrainConfig.from_json(config.to_json()) == config


def test_folder_names_the_domains() -> None:
    assert parse_domain_names(Path("/data/horse2zebra")) == ("horse", "zebra")
    assert parse_domain_names(Path("/data/my set")) == ("A", "B")


def test_projected_discriminator_learns_quickly(dataset: Path) -> None:
    """Train it to distinguish two domains in a few dozen steps."""
    pytest.importorskip("efficientnet_lite_pytorch")
    model = CycleGAN(small(discriminator="projected", ndf=8, lr=1e-3), CPU, None)
    data = open_dataset(small(data=str(dataset), seed=3), paired=False).train
    losses = []
    for step in range(40):
        a, b = data.batch(step)
        model.optimizers["D"].zero_grad()
        loss = model.real_fake_loss(model.D_Y, b, a)
        loss.backward()
        model.optimizers["D"].step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.1 < np.mean(losses[:5])
    assert not any("block" in key for key in model.D_Y.state_dict())


def test_loss_weights_by_direction_and_l2_cycle_loss() -> None:
    """Compare with the same terms written out."""
    model = CycleGAN(small(lambda_a=3.0, lambda_b=7.0, cycle_loss="l2"), CPU, None)
    a, b = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        losses = model.full_objective(a, b, model.forward(a, b))
        G, F = model.G, model.F
        torch.testing.assert_close(losses["cycle_A"], 3 * (F(G(a)) - a).square().mean())
        torch.testing.assert_close(losses["cycle_B"], 7 * (G(F(b)) - b).square().mean())
        torch.testing.assert_close(losses["identity_B"], 3.5 * (G(b) - b).abs().mean())


def test_accumulated_batches_equal_one_larger_batch() -> None:
    """Compare two batches of one with one batch of two; InstanceNorm treats images independently.

    Networks use double precision, because the gradients of biases before a norm are only rounding
    errors.
    """
    rng = torch.Generator().manual_seed(1)
    images = torch.rand(2, 2, 3, 32, 32, dtype=torch.float64, generator=rng) * 2 - 1
    models = [
        CycleGAN(small(pool_size=0, **changes), CPU, None)
        for changes in ({"batch_size": 2}, {"accumulate": 2})
    ]
    for model in models:
        for network in model.networks.values():
            network.double()
    losses = [model.step(*images, position=0) for model in models]
    for name in losses[0]:
        torch.testing.assert_close(losses[0][name], losses[1][name], rtol=1e-6, atol=1e-6)
    # Adam's first step is the sign of the gradient, so compare the moments behind it.
    for one, two in zip(*(m.optimizers["G"].state.values() for m in models), strict=True):
        torch.testing.assert_close(one["exp_avg"], two["exp_avg"], rtol=1e-6, atol=1e-9)


def test_gradients_are_clipped() -> None:
    a, b = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    model = CycleGAN(small(clip_grad=1e-3), CPU, None)
    model.step(a, b, position=0)
    for network in model.networks.values():
        norm = torch.cat([p.grad.flatten() for p in network.parameters()]).norm()
        assert norm <= 1.001e-3
    loose = CycleGAN(small(), CPU, None)
    loose.step(a, b, position=0)
    assert torch.cat([p.grad.flatten() for p in loose.G.parameters()]).norm() > 1e-2


@pytest.mark.parametrize("loss", ["vanilla", "hinge"])
@pytest.mark.parametrize("discriminator", ["patch", "pixel"])
def test_other_losses_and_discriminators_train(loss: str, discriminator: str) -> None:
    model = CycleGAN(small(gan_loss=loss, discriminator=discriminator), CPU, None)
    a, b = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    for position in range(2):
        losses = model.step(a, b, position)
    assert all(torch.isfinite(value) for value in losses.values())


def test_gray_to_rgb() -> None:
    model = CycleGAN(small(channels_a=1, lambda_identity=0.0), CPU, None)
    a, b = torch.rand(1, 1, 32, 32), torch.rand(1, 3, 32, 32)
    model.step(a, b, position=0)
    assert [tile.shape[1] for tile in model.sample(a, b)] == [1, 3, 1, 1, 3, 1, 3, 3]


def test_only_some_settings_may_change_on_resume() -> None:
    config = small(epochs=5)
    assert config.with_changes({"threads": 2, "epochs": 9}).epochs == 9
    assert config.with_changes({"lr": config.lr}) == config
    with pytest.raises(UsageError, match=r"--lr \(0.0002 to 0.1\), --ngf"):
        config.with_changes({"lr": 0.1, "ngf": 8, "threads": 1})


def test_missing_settings_of_older_checkpoints_get_defaults() -> None:
    old = {"data": "x", "generator": "resnet6", "ngf": 16, "norm": "none"}
    config = TrainConfig.from_json(old)
    assert (config.method, config.gan_loss, config.accumulate) == ("cyclegan", "lsgan", 1)
