"""`cgt train --init-from`: runs that start from trained generators."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cgt.runtime.errors import UsageError
from cgt.trainer.checkpoint import load_checkpoint
from cgt.trainer.config import TrainConfig
from cgt.trainer.train import TrainingRun
from conftest import run_cgt

from . import conventions

STEPS = conventions.junyanz(2, "batch", dropout_slot=True)
W, V = (conventions.weights(STEPS, torch.Generator().manual_seed(seed)) for seed in (0, 1))
SMALL = {"ndf": 4, "load_size": 36, "crop_size": 32, "epochs": 1, "decay_epochs": 0}


def config(dataset: Path, **changes: object) -> TrainConfig:
    return TrainConfig(
        **({"data": str(dataset), "precision": "fp32", "threads": 1} | SMALL | changes)
    )


def first_weight(state: dict[str, torch.Tensor]) -> torch.Tensor:
    return next(iter(state.values()))


def test_a_third_party_pair_is_fine_tuned(dataset: Path, tmp_path: Path) -> None:
    torch.save(W, tmp_path / "latest_net_G_A.pth")
    torch.save(V, tmp_path / "latest_net_G_B.pth")
    run = TrainingRun.create(tmp_path / "run", config(dataset), tmp_path / "latest_net_G_B.pth")
    for name, weights in (("G_A", W), ("G_B", V)):
        state = run.model.networks[name].state_dict()
        assert torch.equal(first_weight(state), first_weight(weights))
    assert (
        "G_A starts from latest_net_G_A.pth, G_B starts from latest_net_G_B.pth" in run.summarize()
    )
    run.train()
    saved = load_checkpoint(tmp_path / "run" / "latest.pth")
    described = saved.config.generator_config
    assert (described.kind, described.norm, described.dropout) == ("resnet2", "batch", True)
    assert not torch.equal(first_weight(saved.state["networks"]["G_A"]), first_weight(W))
    again = TrainingRun.resume(tmp_path / "run")
    assert again.step == saved.step == 6
    # Another run starts from this one.
    third = TrainingRun.create(tmp_path / "third", config(dataset), tmp_path / "run" / "latest.pth")
    for name in ("G_A", "G_B"):
        ours = third.model.networks[name].state_dict()
        assert torch.equal(first_weight(ours), first_weight(saved.state["networks"][name]))


def test_one_generator_initializes_one_direction(dataset: Path, tmp_path: Path) -> None:
    torch.save(W, tmp_path / "G_BA.pth")
    run = TrainingRun.create(tmp_path / "run", config(dataset), tmp_path / "G_BA.pth")
    assert "G_B starts from G_BA.pth, the other from scratch" in run.summarize()
    states = {name: run.model.networks[name].state_dict() for name in ("G_A", "G_B")}
    assert torch.equal(first_weight(states["G_B"]), first_weight(W))
    assert not torch.equal(first_weight(states["G_A"]), first_weight(W))


def test_unsuitable_generators_are_rejected(dataset: Path, tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    torch.save(conventions.weights(conventions.junyanz(2, i=1), random), tmp_path / "gray.pth")
    with pytest.raises(UsageError, match="only RGB"):
        TrainingRun.create(tmp_path / "run", config(dataset), tmp_path / "gray.pth")
    torch.save(W, tmp_path / "G_AB.pth")
    torch.save(conventions.weights(conventions.junyanz(3), random), tmp_path / "G_BA.pth")
    with pytest.raises(UsageError, match="differ in architecture"):
        TrainingRun.create(tmp_path / "run", config(dataset), tmp_path / "G_AB.pth")
    torch.save({"gen_H": W, "gen_Z": V}, tmp_path / "two.pth")
    with pytest.raises(UsageError, match=r"several generators, .* save them as G_AB\.pth"):
        TrainingRun.create(tmp_path / "run", config(dataset), tmp_path / "two.pth")
    assert not (tmp_path / "run").exists()


def test_architecture_flags_are_rejected(tmp_path: Path) -> None:
    done = run_cgt(
        *("train", "--data", "x", "--output", "y", "--init-from", "z.pth", "--norm", "none"),
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert "leave out --norm" in done.stderr
