"""Tests of the pix2pix method."""

import shutil
from pathlib import Path

import pytest
import torch

from cgt.runtime.errors import CheckpointError
from cgt.trainer.checkpoint import load_checkpoint
from cgt.trainer.config import TrainConfig
from cgt.trainer.methods.pix2pix import Pix2Pix
from cgt.trainer.pretrained import open_generator
from cgt.trainer.train import TrainingRun

CPU = torch.device("cpu")
SETTINGS = {"generator": "unet32", "ngf": 4, "ndf": 4, "load_size": 36, "crop_size": 32}


def small(**changes: object) -> TrainConfig:
    return TrainConfig.for_method(
        "pix2pix", **({"data": "", "precision": "fp32"} | SETTINGS | changes)
    )


def test_defaults_match_the_paper() -> None:
    config = TrainConfig.for_method("pix2pix", data="")
    assert (config.generator, config.norm, config.dropout) == ("unet256", "batch", True)
    assert (config.gan_loss, config.pool_size, config.lambda_l1) == ("vanilla", 0, 100)
    assert TrainConfig.for_method("pix2pix", data="", pool_size=9).pool_size == 9


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_losses_match_the_paper(direction: str) -> None:
    """Compare with equation 4 written out."""
    model = Pix2Pix(small(direction=direction, dropout=False, norm="instance"), CPU, None)
    a, b = torch.rand(2, 2, 3, 32, 32) * 2 - 1
    x, y = (a, b) if direction == "AtoB" else (b, a)
    (G,), (D,) = model.generators.values(), model.discriminators.values()
    with torch.no_grad():
        losses, (generated,) = model.generator_losses(a, b)
        fake = G(x)
        torch.testing.assert_close(losses["L1"], 100 * (fake - y).abs().mean())
        logits = D(torch.cat([x, fake], 1))
        torch.testing.assert_close(losses["G"], -torch.log(torch.sigmoid(logits)).mean())
        torch.testing.assert_close(generated, torch.cat([x, fake], 1))
        loss_real = -torch.log(torch.sigmoid(D(torch.cat([x, y], 1)))).mean()
        loss_fake = -torch.log(1 - torch.sigmoid(logits)).mean()
        d_losses = model.discriminator_losses(a, b, (generated,))
        torch.testing.assert_close(d_losses["D"], 0.5 * (loss_real + loss_fake))


def test_training_learns_a_mapping() -> None:
    """Train on pairs whose B is the negative of A; L1 must halve within 100 steps."""
    settings = {"lr": 5e-3, "ngf": 8, "norm": "none", "dropout": False, "generator": "resnet1"}
    model = Pix2Pix(small(**settings), CPU, None)
    coarse = torch.rand(8, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    a = torch.nn.functional.interpolate(coarse, 32)[:, None]
    losses = [model.step(a[i % 8], -a[i % 8], 0)["L1"].item() for i in range(100)]
    assert sum(losses[-8:]) < sum(losses[:8]) / 2


def test_checkpoint_has_one_direction(dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "pairs"
    for side in "AB":
        shutil.copytree(dataset / "trainA", root / f"train{side}")
    config = small(data=str(root), direction="BtoA", steps=2)
    TrainingRun.create(tmp_path / "run", config).train()
    path = tmp_path / "run" / "latest.pth"
    assert load_checkpoint(path).state["networks"].keys() == {"G_B", "D_B"}
    assert open_generator(path).direction == "BtoA"
    with pytest.raises(CheckpointError, match="no generator AtoB"):
        open_generator(path, "AtoB")
