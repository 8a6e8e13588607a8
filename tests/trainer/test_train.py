"""Whole runs, as a user makes them."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest
import torch

from cgt.runtime.errors import CheckpointError
from cgt.trainer.checkpoint import load_checkpoint
from conftest import TINY, run_cgt

LONG = [
    *TINY,
    "--pool-size",
    "3",
    "--ema",
    "0.9",
    "--epochs",
    "6",
    "--decay-epochs",
    "4",
]  # 60 steps


def start(*args: object) -> subprocess.Popen[str]:
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


def test_a_run_leaves_a_checkpoint_samples_and_losses(run_folder: Path) -> None:
    checkpoint = load_checkpoint(run_folder / "latest.pth")
    assert checkpoint.step == 12
    assert checkpoint.domains == ("ramp", "noise")
    assert checkpoint.state["networks"].keys() == {"G_A", "G_B", "D_A", "D_B"}
    grids = sorted(path.name for path in (run_folder / "samples").iterdir())
    assert grids == ["epoch_001.png", "epoch_002.png"]
    assert cv2.imread(str(run_folder / "samples" / "epoch_002.png")).shape == (68, 212, 3)


def test_losses_are_logged(dataset: Path, tmp_path: Path) -> None:
    done = run_cgt("train", "--data", dataset, "--out", tmp_path / "run", *LONG)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "run" / "losses.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["50"]
    assert all(0 < float(row["cycle_A"]) < 20 for row in rows)


def test_a_killed_run_resumes_bit_for_bit(dataset: Path, tmp_path: Path) -> None:
    straight, cut = tmp_path / "straight", tmp_path / "cut"
    done = run_cgt("train", "--data", dataset, "--out", straight, *LONG)
    assert done.returncode == 0, done.stderr
    process = start("train", "--data", dataset, "--out", cut, *LONG)
    while not (cut / "latest.pth").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert 0 < load_checkpoint(cut / "latest.pth").step < 60
    done = run_cgt("train", "--resume", cut)
    assert done.returncode == 0, done.stderr
    one, two = (load_checkpoint(folder / "latest.pth") for folder in (straight, cut))
    assert one.step == two.step == 60
    assert_equal(one.state, two.state)
    assert (straight / "losses.csv").read_text() == (cut / "losses.csv").read_text()


def test_a_signal_saves_and_says_how_to_go_on(dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start("train", "--data", dataset, "--out", run, *LONG, "--epochs", "900")
    while not (run / "latest.pth").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 5
    assert f"cgt train --resume {run}" in errors
    assert not list(run.glob(".*")), "a temporary file was left"


def test_a_run_is_not_overwritten(run_folder: Path, dataset: Path) -> None:
    before = (run_folder / "latest.pth").read_bytes()
    done = run_cgt("train", "--data", dataset, "--out", run_folder, *TINY)
    assert done.returncode == 2
    assert "--resume" in done.stderr
    assert (run_folder / "latest.pth").read_bytes() == before


def test_losses_that_are_no_numbers_stop_the_run(dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = run_cgt("train", "--data", dataset, "--out", run, *LONG, "--lr", "1e30")
    assert done.returncode == 1
    assert "is not finite" in done.stderr
    state = load_checkpoint(run / "latest.pth") if (run / "latest.pth").exists() else None
    assert state is None or all(
        torch.isfinite(value).all()
        for network in state.state["networks"].values()
        for value in network.values()
    )


def test_checkpoints_that_are_none(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pth"
    for content, words in (
        (b"", "is empty"),
        (b"text", "is a text file"),
        (b"PK\x03\x04 not really", "cut off or damaged"),
        (b"<html>", "is a web page"),
        (b"\x00\x01\x02", "does not load"),
    ):
        bad.write_bytes(content)
        with pytest.raises(CheckpointError, match=words):
            load_checkpoint(bad)
    torch.save({"model.1.weight": torch.zeros(1)}, bad)
    with pytest.raises(CheckpointError, match="not written by `cgt train`"):
        load_checkpoint(bad)
    with pytest.raises(CheckpointError, match="missing"):
        load_checkpoint(tmp_path / "none.pth")


def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path) -> None:
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
