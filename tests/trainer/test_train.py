"""Tests of complete training runs: logs, checkpoints, interruption, resuming."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

from cgt.runtime.errors import CgtError, CheckpointError
from cgt.trainer import precision
from cgt.trainer.checkpoint import load_checkpoint
from cgt.trainer.config import TrainConfig
from cgt.trainer.logs.metrics_csv import MetricsLogger, read_metrics
from cgt.trainer.train import TrainingRun
from conftest import TINY_TRAIN_FLAGS, run_cgt

LONG_RUN_FLAGS = [  # 60 steps
    *TINY_TRAIN_FLAGS,
    *("--pool-size", "3", "--ema", "0.9", "--epochs", "6", "--decay-epochs", "4"),
]

SETTINGS = {
    **{"generator": "resnet1", "ngf": 4, "ndf": 4, "load_size": 36, "crop_size": 32},
    **{"epochs": 10, "decay_epochs": 6, "pool_size": 3, "ema": 0.9, "threads": 1},
    **{"precision": "fp32", "best": "none"},
}


def start_cgt(*args: object) -> subprocess.Popen[str]:
    command = [str(Path(sys.executable).with_name("cgt")), *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def assert_equal(one: object, two: object, where: str = "") -> None:
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two), where
    elif isinstance(one, dict):
        assert one.keys() == two.keys()
        for key in one:
            assert_equal(one[key], two[key], f"{where}/{key}")
    elif isinstance(one, list):
        for index, (a, b) in enumerate(zip(one, two, strict=True)):
            assert_equal(a, b, f"{where}/{index}")
    else:
        assert one == two, where


def test_run_writes_checkpoint_and_samples(run_folder: Path) -> None:
    checkpoint = load_checkpoint(run_folder / "latest.pth")
    assert checkpoint.step == 12
    assert checkpoint.domains == ("ramp", "noise")
    assert checkpoint.state["networks"].keys() == {"G_A", "G_B", "D_A", "D_B"}
    grids = sorted(path.name for path in (run_folder / "samples").iterdir())
    assert grids == ["epoch_001.png", "epoch_002.png"]
    assert cv2.imread(str(run_folder / "samples" / "epoch_002.png")).shape == (68, 284, 3)


@pytest.mark.slow
def test_losses_are_logged(dataset: Path, tmp_path: Path) -> None:
    done = run_cgt("train", "--data", dataset, "--output", tmp_path / "run", *LONG_RUN_FLAGS)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "run" / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["50", "60"]
    assert all(0 < float(row["cycle_A"]) < 20 for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["cyclegan", "pix2pix"])
def test_ten_kills_change_nothing(dataset: Path, tmp_path: Path, method: str) -> None:
    """Kill and resume a run at ten random steps and compare with an uninterrupted one.

    Networks, averages, optimizers, pools and losses must be equal bit for bit. pix2pix has dropout.
    """
    root, settings = dataset, SETTINGS
    if method == "pix2pix":
        root = tmp_path / "pairs"
        for side in "AB":
            shutil.copytree(dataset / "trainA", root / f"train{side}")
        settings = SETTINGS | {"method": "pix2pix", "dropout": True, "norm": "batch"}
    config = TrainConfig(data=str(root), **settings)
    uninterrupted, killed = tmp_path / "uninterrupted", tmp_path / "killed"
    TrainingRun.create(uninterrupted, config).train()
    (tmp_path / "config.json").write_text(json.dumps(config.to_json()))
    script = Path(__file__).with_name("kill_and_resume.py")
    command = [sys.executable, script, "7", tmp_path / "config.json", killed]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    one, two = (load_checkpoint(folder / "latest.pth") for folder in (uninterrupted, killed))
    assert one.step == two.step == 96
    assert_equal(one.state, two.state)
    assert (uninterrupted / "metrics.csv").read_text() == (killed / "metrics.csv").read_text()
    assert (uninterrupted / "samples").stat().st_size == (killed / "samples").stat().st_size


@pytest.mark.slow
def test_signal_saves_the_run(dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start_cgt(
        *("train", "--data", dataset, "--output", run, *LONG_RUN_FLAGS, "--epochs", "900")
    )
    while not (run / "latest.pth").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 5
    assert f"cgt train --resume {run}" in errors
    assert not list(run.glob(".*")), "a temporary file remains"


def test_run_is_not_overwritten(run_folder: Path, dataset: Path) -> None:
    original = (run_folder / "latest.pth").read_bytes()
    done = run_cgt("train", "--data", dataset, "--output", run_folder, *TINY_TRAIN_FLAGS)
    assert done.returncode == 2
    assert "--resume" in done.stderr
    assert (run_folder / "latest.pth").read_bytes() == original


@pytest.mark.slow
def test_non_finite_losses_stop_the_run(dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = run_cgt("train", "--data", dataset, "--output", run, *LONG_RUN_FLAGS, "--lr", "1e30")
    assert done.returncode == 1
    assert "is not finite" in done.stderr
    saved = load_checkpoint(run / "latest.pth") if (run / "latest.pth").exists() else None
    assert saved is None or all(
        torch.isfinite(value).all()
        for network in saved.state["networks"].values()
        for value in network.values()
    )


def test_invalid_checkpoints_are_rejected(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pth"
    for content, message in (
        (b"", "is empty"),
        (b"text", "is a text file"),
        (b"PK\x03\x04 not really", "truncated or damaged"),
        (b"<html>", "is a web page"),
        (b"\x00\x01\x02", "does not load"),
    ):
        bad.write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(bad)
    torch.save({"model.1.weight": torch.zeros(1)}, bad)
    with pytest.raises(CheckpointError, match="not written by `cgt train`"):
        load_checkpoint(bad)
    with pytest.raises(CheckpointError, match="missing"):
        load_checkpoint(tmp_path / "none.pth")


def test_checkpoints_cannot_execute_code(tmp_path: Path) -> None:
    import pickle

    class Bomb:
        def __reduce__(self) -> object:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    bad = tmp_path / "bomb.pth"
    bad.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError):
        load_checkpoint(bad)
    torch.save({"format": Bomb()}, bad)
    with pytest.raises(CheckpointError):
        load_checkpoint(bad)
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_permanent_and_best_checkpoints(dataset: Path, tmp_path: Path) -> None:
    config = TrainConfig(
        data=str(dataset),
        **(SETTINGS | {"epochs": 4, "decay_epochs": 0, "best": "cycle_psnr", "save_every": 2}),
        eval_every=1,
    )
    run = TrainingRun.create(tmp_path / "run", config)
    run.train()
    rows = [row for row in read_metrics(tmp_path / "run" / "metrics.csv") if "cycle_psnr" in row]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    best = max(rows, key=lambda row: row["cycle_psnr"])
    steps = {path.stem: load_checkpoint(path).step for path in (tmp_path / "run").glob("*.pth")}
    assert steps == {"latest": 24, "epoch_2": 12, "epoch_4": 24, "best": best["step"]}
    state = load_checkpoint(tmp_path / "run" / "latest.pth").state["best"]
    assert (state["metric"], state["epoch"]) == ("cycle_psnr", best["epoch"])


@pytest.mark.slow
def test_error_names_the_step_that_diverged(dataset: Path, tmp_path: Path) -> None:
    run = TrainingRun.create(tmp_path / "run", TrainConfig(data=str(dataset), **SETTINGS))
    step = run.model.step

    def diverging_step(*args: Any) -> dict[str, torch.Tensor]:
        losses = step(*args)
        if run.step == 16:  # the 17th
            losses["cycle_B"] = torch.tensor(float("nan"))
        return losses

    run.model.step = diverging_step  # type: ignore[method-assign]
    with pytest.raises(CgtError, match=r"the loss cycle_B is not finite at step 17; resume from"):
        run.train()
    assert load_checkpoint(tmp_path / "run" / "latest.pth").step == 12, "the last good state"
    run.model.networks["D_A"].model[0].weight.data[0, 0, 0, 0] = float("inf")
    with pytest.raises(CgtError, match=r"D_A.model.0.weight is not finite"):
        run.save(MetricsLogger(tmp_path, 0, []))


@pytest.mark.slow
def test_changed_settings_are_logged_or_rejected(run_folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(run_folder, run)
    done = run_cgt("train", "--resume", run, "--lr", "0.1", "--ngf", "9")
    assert done.returncode == 2
    assert "--ngf (4 to 9), --lr (0.0002 to 0.1)" in done.stderr.replace(
        "--lr (0.0002 to 0.1), --ngf (4 to 9)", "--ngf (4 to 9), --lr (0.0002 to 0.1)"
    )
    done = run_cgt("train", "--resume", run, "--decay-epochs", "2", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert "--decay-epochs: changed from 1 to 2" in done.stdout
    assert load_checkpoint(run / "latest.pth").step == 18


@pytest.mark.parametrize("name", ["bf16", "fp32"])
def test_resumed_run_keeps_its_precision(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Resume on a machine that is faster in the other precision."""
    settings = SETTINGS | {"precision": "auto", "epochs": 1, "decay_epochs": 0}
    monkeypatch.setattr(precision, "_bf16_is_faster", lambda device: name == "bf16")
    run = TrainingRun.create(tmp_path, TrainConfig.for_method(data=str(dataset), **settings))
    run.train()
    assert run.precision.name == run.config.precision == name
    monkeypatch.setattr(precision, "_bf16_is_faster", lambda device: name == "fp32")
    assert TrainingRun.resume(tmp_path, {"epochs": 2}).precision.name == name


def test_log_survives_an_incomplete_row(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,epoch,G\n50,1,0.5\n100,2,0.25\n150,3")
    log = MetricsLogger(tmp_path, 100, [])
    assert [row["step"] for row in read_metrics(path)] == [50, 100]
    log.write_row(150, 3.0, {"G": 0.125, "frechet": 10.0})
    log.close()
    assert read_metrics(path)[-1] == {"step": 150, "epoch": 3, "G": 0.125, "frechet": 10}
    assert "frechet" not in read_metrics(path)[0]


def test_tensorboard_has_the_same_losses(dataset: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = SETTINGS | {"epochs": 1, "decay_epochs": 0}
    TrainingRun.create(tmp_path / "run", TrainConfig(data=str(dataset), **settings)).train()
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    rows = read_metrics(tmp_path / "run" / "metrics.csv")
    assert events.Scalars("G_A")[0].value == pytest.approx(rows[0]["G_A"], rel=1e-5)
    assert events.Scalars("G_A")[0].step == rows[0]["step"] == 6
