from pathlib import Path

import numpy as np
import pytest
import torch

from cgt.runtime.errors import DataError, UsageError
from cgt.trainer.config import TrainConfig
from cgt.trainer.cyclegan import CycleGAN, learning_rate_factor
from cgt.trainer.data import UnpairedData, load_image
from cgt.trainer.losses import gan_loss, l1_loss
from cgt.trainer.pool import ImagePool
from cgt.trainer.train import domain_names
from conftest import picture

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


def test_losses_against_numpy() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 2, 1, 5, 5)).astype(np.float32)
    a, b = torch.from_numpy(x), torch.from_numpy(y)
    assert gan_loss(a, real=True).item() == pytest.approx(np.mean((x - 1) ** 2), rel=1e-6)
    assert gan_loss(a, real=False).item() == pytest.approx(np.mean(x**2), rel=1e-6)
    assert l1_loss(a, b).item() == pytest.approx(np.mean(np.abs(x - y)), rel=1e-6)


def test_the_generators_losses_are_those_of_the_paper() -> None:
    model = CycleGAN(small(lambda_cycle=10.0, lambda_identity=0.5), CPU, None)
    a, b = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        losses = model.generator_losses(a, b, model.views(a, b))
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


def test_the_discriminators_loss_is_halved() -> None:
    model = CycleGAN(small(), CPU, None)
    real, fake = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        loss = model.discriminator_loss(model.D_Y, real, fake)
        expected = 0.5 * (((model.D_Y(real) - 1) ** 2).mean() + (model.D_Y(fake) ** 2).mean())
    torch.testing.assert_close(loss, expected)


def test_a_step_moves_every_network_and_judges_do_not_learn_from_the_generators() -> None:
    model = CycleGAN(small(pool_size=0), CPU, None)
    before = {k: [p.clone() for p in n.parameters()] for k, n in model.networks.items()}
    a, b = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    model.step(a, b, epoch=0)
    for name, network in model.networks.items():
        assert any(
            not torch.equal(p, q) for p, q in zip(network.parameters(), before[name], strict=True)
        ), name
    assert all(p.requires_grad for n in model.networks.values() for p in n.parameters())


def test_the_moving_average_follows_the_generators() -> None:
    model = CycleGAN(small(ema=0.5, lr=1e-2), CPU, None)
    first = [p.clone() for p in model.G.parameters()]  # the average begins with a copy
    a, b = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    expected = None
    for _ in range(3):
        model.step(a, b, epoch=0)
        now = [p.detach().clone() for p in model.G.parameters()]
        expected = [(e + n) / 2 for e, n in zip(expected, now, strict=True)] if expected else now
    for mean, value in zip(model.averages["G_A"].parameters(), expected, strict=True):
        torch.testing.assert_close(mean, value)
    assert not torch.equal(first[0], expected[0])
    assert CycleGAN(small(), CPU, None).averages == {}


def test_the_learning_rate_at_every_epoch() -> None:
    """Linear factor of the reference: 1 - max(0, epoch + first - n_epochs) / (n_decay + 1)."""
    factors = [learning_rate_factor(epoch, 100, 100) for epoch in range(200)]
    assert factors[:100] == [1.0] * 100
    for epoch in range(100, 200):
        assert factors[epoch] == pytest.approx(1 - (epoch - 99) / 101)
    assert factors[-1] == pytest.approx(1 / 101)
    model = CycleGAN(small(epochs=1, decay_epochs=3), CPU, None)
    a, b = torch.rand(2, 1, 3, 32, 32)
    model.step(a, b, epoch=2)
    assert model.optimizers["G"].param_groups[0]["lr"] == pytest.approx(2e-4 * 0.5)


def test_the_pool_keeps_fifty_and_gives_old_ones_half_of_the_time() -> None:
    pool = ImagePool(50, seed=0)
    for index in range(50):
        assert pool.query(torch.full((1, 3, 2, 2), float(index)))[0, 0, 0, 0] == index
    old = 0
    for index in range(50, 2050):
        given = pool.query(torch.full((1, 3, 2, 2), float(index)))[0, 0, 0, 0].item()
        old += given != index
        assert given <= index
    assert len(pool.images) == 50
    assert 0.46 < old / 2000 < 0.54


def test_a_pool_of_none_gives_back() -> None:
    x = torch.rand(2, 3, 2, 2, requires_grad=True)
    given = ImagePool(0, seed=0).query(x)
    assert torch.equal(given, x)
    assert not given.requires_grad


def test_the_pool_resumes() -> None:
    first, second = ImagePool(4, seed=1), ImagePool(4, seed=2)
    batches = torch.rand(40, 1, 3, 2, 2)
    for batch in batches[:20]:
        first.query(batch)
    second.load_state_dict(first.state_dict(), CPU)
    for batch in batches[20:]:
        assert torch.equal(first.query(batch), second.query(batch))


def data(root: Path, **changes: int) -> UnpairedData:
    settings = {"load_size": 36, "crop_size": 32, "batch_size": 1, "seed": 3} | changes
    return UnpairedData(root, **settings)


def test_batches_depend_on_seed_and_step_alone(dataset: Path) -> None:
    first, again, other = data(dataset), data(dataset), data(dataset, seed=4)
    later = [a for a, _ in again.batches(5, 9)]
    straight = [a for a, _ in first.batches(0, 9)][5:]
    assert all(torch.equal(p, q) for p, q in zip(later, straight, strict=True))
    assert not torch.equal(first.batch(0)[0], other.batch(0)[0])


def test_an_epoch_shows_each_image_of_the_larger_side_once(dataset: Path) -> None:
    pairs = data(dataset, load_size=32)  # no crop: only flips differ
    assert pairs.steps_per_epoch == 6
    for epoch in range(3):
        steps = range(6 * epoch, 6 * epoch + 6)
        views = [pairs.batch(step)[0][0] for step in steps]
        sums = {round(view.sum().item(), 1) for view in views}
        assert len(sums) == 6
    assert data(dataset, batch_size=4).steps_per_epoch == 2
    assert data(dataset, batch_size=4).batch(1)[1].shape == (4, 3, 32, 32)


def test_training_and_serving_prepare_the_same_pixels(dataset: Path) -> None:
    from cgt.runtime import pack

    tensor = load_image(dataset / "testA" / "1.png", 32)
    np.testing.assert_array_equal(tensor[0].numpy(), pack(picture(1, 48, 48), (32, 32)))


def test_missing_and_broken_data_is_named(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="trainA is missing"):
        data(tmp_path)
    for side in ("trainA", "trainB"):
        (tmp_path / side).mkdir()
    with pytest.raises(DataError, match="has no image"):
        data(tmp_path)
    for side in ("trainA", "trainB"):
        (tmp_path / side / "broken.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"broken\.png is not a readable image"):
        data(tmp_path).batch(0)


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
    ],
)
def test_settings_that_make_no_sense(change: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        small(**change)


def test_settings_survive_json() -> None:
    config = small(seed=5, lr=1e-3)
    assert TrainConfig.from_json(config.to_json()) == config


def test_domains_are_named_by_the_folder() -> None:
    assert domain_names(Path("/data/horse2zebra")) == ("horse", "zebra")
    assert domain_names(Path("/data/my set")) == ("A", "B")


def test_projected_tells_apart_what_noise_is(dataset: Path) -> None:
    """The projected discriminator learns to tell two domains in a few dozen steps."""
    pytest.importorskip("efficientnet_lite_pytorch")
    model = CycleGAN(small(discriminator="projected", ndf=8, lr=1e-3), CPU, None)
    pairs = data(dataset)
    losses = []
    for step in range(40):
        a, b = pairs.batch(step)
        model.optimizers["D"].zero_grad()
        loss = model.discriminator_loss(model.D_Y, b, a)
        loss.backward()
        model.optimizers["D"].step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.1 < np.mean(losses[:5])
    assert not any("block" in key for key in model.D_Y.state_dict())
