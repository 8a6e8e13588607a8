"""Tests of the learning rate schedules."""

import math

import pytest
import torch

from cgt.trainer.config import TrainConfig
from cgt.trainer.lr_schedule import LRSchedule
from cgt.trainer.methods.cyclegan import CycleGAN


def test_linear_schedule_matches_the_reference() -> None:
    """Expect 1 - max(0, epoch + first - n_epochs) / (n_epochs_decay + 1), with first = 1."""
    schedule = LRSchedule("linear", 100, 100)
    factors = [schedule.factor(epoch) for epoch in range(200)]
    assert factors[:100] == [1.0] * 100
    for epoch in range(100, 200):
        assert factors[epoch] == pytest.approx(1 - (epoch + 1 - 100) / 101)


def test_step_and_cosine_schedules() -> None:
    step, cosine = LRSchedule("step", 200, 0, step_size=50), LRSchedule("cosine", 10, 40)
    assert [step.factor(e) for e in (0, 49, 50, 99, 150)] == pytest.approx([1, 1, 0.1, 0.1, 1e-3])
    for epoch in range(50):
        progress = max(0, epoch + 1 - 10) / 41
        assert cosine.factor(epoch) == pytest.approx(0.5 * (1 + math.cos(math.pi * progress)))
    assert cosine.factor(49) > 0


@pytest.mark.parametrize(
    ("units", "total"),
    [({"epochs": 1, "decay_epochs": 3}, 4), ({"steps": 5, "decay_steps": 2}, 7)],
)
def test_length_is_in_epochs_or_steps(units: dict[str, int], total: int) -> None:
    settings = {"generator": "resnet1", "ngf": 4, "ndf": 4, "crop_size": 32, "load_size": 32}
    config = TrainConfig(data="", **settings, **units)
    assert config.schedule_length == total
    model = CycleGAN(config, torch.device("cpu"), None)
    a, b = torch.rand(2, 1, 3, 32, 32)
    model.step(a, b, total - 1)
    rate = model.optimizers["G"].param_groups[0]["lr"]
    assert rate == pytest.approx(2e-4 / (config.lr_schedule.decay + 1))
