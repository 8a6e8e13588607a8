"""Tests of distributed training: two gloo processes equal one, and resume after a failure."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from cgt.runtime.errors import Interrupted, UsageError
from cgt.trainer.checkpoint import load_checkpoint
from cgt.trainer.config import TrainConfig
from cgt.trainer.distributed import SingleProcess, _stop_check_interval_steps, init_distributed
from cgt.trainer.logs.metrics_csv import read_metrics
from cgt.trainer.train import TrainingRun
from conftest import TINY_TRAIN_FLAGS, run_cgt

TORCHRUN = [
    *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
]
FLAGS = [
    *TINY_TRAIN_FLAGS,
    *("--batch-size", "2", "--pool-size", "3", "--ema", "0.9", "--accumulate", "2"),
]


@pytest.mark.slow
def test_losses_and_weights_equal_those_of_one_process(dataset: Path, tmp_path: Path) -> None:
    """Compare image pools, too, because all processes must keep the same one."""
    pytest.importorskip("lightning_fabric")
    flags = ["--data", dataset, *FLAGS, "--steps", "6"]
    done = run_cgt("train", *flags, "--output", tmp_path / "one")
    assert done.returncode == 0, done.stderr
    command = ["-m", "cgt", "train", *map(str, flags), "--output", str(tmp_path / "two")]
    done = _run([*TORCHRUN, *command])
    assert done.returncode == 0, done.stderr
    assert "2 processes" in done.stdout
    assert done.stdout.count("trainA: 6 images") == 1, "only one process prints"
    one, two = (read_metrics(tmp_path / name / "metrics.csv")[-1] for name in ("one", "two"))
    assert one == pytest.approx(two, rel=1e-3)
    one, two = (load_checkpoint(tmp_path / name / "latest.pth").state for name in ("one", "two"))
    for network, weights in one["networks"].items():
        for key, tensor in weights.items():
            if key.endswith("weight"):
                error = (tensor - two["networks"][network][key]).abs().mean()
                assert error < 2e-5, (network, key)
    for side in "AB":
        torch.testing.assert_close(
            one["pools"][side]["images"], two["pools"][side]["images"], atol=2e-3, rtol=0
        )


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


class Job:
    """Runs of one config, with the losses of every step (ddp_losses.py)."""

    def __init__(self, dataset: Path, folder: Path, steps: int) -> None:
        self.folder, self.config = folder, folder / "config.json"
        settings = {"data": str(dataset), "generator": "resnet1", "ngf": 4, "ndf": 4}
        settings |= {"load_size": 36, "crop_size": 32, "batch_size": 2, "pool_size": 3}
        settings |= {"precision": "fp32", "threads": 1, "deterministic": True, "steps": steps}
        self.config.write_text(json.dumps(settings | {"decay_steps": 0}))

    def run(self, name: str, *, processes: int, kill_at_step: int = 0) -> Any:
        script = Path(__file__).with_name("ddp_losses.py")
        launcher = TORCHRUN if processes == 2 else [sys.executable]
        files = [self.folder / name, self.config, self.folder / f"{name}.json"]
        kill = [str(kill_at_step)] if kill_at_step else []
        return _run([*launcher, *map(str, (script, *files)), *kill])

    def losses(self, name: str) -> dict[str, dict[str, float]]:
        losses: dict[str, dict[str, float]] = json.loads((self.folder / f"{name}.json").read_text())
        return losses

    def state(self, name: str) -> tuple[int, Any]:
        checkpoint = load_checkpoint(self.folder / name / "latest.pth")
        return checkpoint.step, checkpoint.state


@pytest.mark.slow
def test_losses_equal_those_of_one_process_and_survive_a_kill(
    dataset: Path, tmp_path: Path
) -> None:
    pytest.importorskip("lightning_fabric")
    job = Job(dataset, tmp_path, steps=6)
    for name, processes in (("one", 1), ("two", 2)):
        done = job.run(name, processes=processes)
        assert done.returncode == 0, done.stderr
    one, two = job.losses("one"), job.losses("two")
    assert set(one) == set(two) == set("123456")
    for step in one:
        assert two[step] == pytest.approx(one[step], rel=1e-6)

    done = job.run("killed", processes=2, kill_at_step=3)
    assert done.returncode == 1
    assert "another process of the job failed in step 3" in done.stderr
    assert job.state("killed")[0] == 1, "saved after the first step"
    done = job.run("killed", processes=2)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stdout
    assert job.losses("killed") == {step: two[step] for step in "23456"}, "bit for bit"
    (_, uninterrupted), (step, resumed) = job.state("two"), job.state("killed")
    assert step == 6
    assert _comparable(resumed) == _comparable(uninterrupted)


def _comparable(state: Any) -> Any:
    """Convert the tensors of a state to bytes."""
    if isinstance(state, torch.Tensor):
        return state.shape, state.cpu().numpy().tobytes()
    if isinstance(state, dict):
        return {key: _comparable(value) for key, value in state.items()}
    return [_comparable(value) for value in state] if isinstance(state, list | tuple) else state


def test_another_number_of_processes_resumes_with_a_warning(
    run_folder: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resume a run of two processes with one."""
    from cgt.trainer import train

    checkpoint = load_checkpoint(run_folder / "latest.pth")
    assert checkpoint.state["world"] == 1
    checkpoint.state["world"] = 2
    monkeypatch.setattr(train, "load_checkpoint", lambda path: checkpoint)
    lines: list[str] = []
    run = train.TrainingRun.resume(run_folder, {"epochs": 2}, log=lines.append)
    assert run.step == checkpoint.step
    assert any("warning: number of processes changed from 2 to 1" in line for line in lines)


def test_batch_must_divide_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="--batch-size 3"):
        init_distributed("cpu", 3)


def test_stop_requests_are_compared_every_20_steps_on_cuda(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Comparing waits for the GPU; runs stop at a multiple of 20 and resume bit for bit."""
    assert _stop_check_interval_steps(torch.device("cuda")) == 20
    assert _stop_check_interval_steps(torch.device("cpu")) == 1

    asked_after: list[int] = []

    def stop_requested(self: SingleProcess, flag: bool) -> bool:
        asked_after.append(run.step)
        return run.step >= 5

    config = TrainConfig(
        data=str(dataset),
        **{"generator": "resnet1", "ngf": 4, "ndf": 4, "load_size": 36, "crop_size": 32},
        **{"steps": 23, "threads": 1, "precision": "fp32", "device": "cpu", "pool_size": 3},
    )
    TrainingRun.create(tmp_path / "uninterrupted", config).train()
    run = TrainingRun.create(tmp_path / "stopped", config)
    with monkeypatch.context() as patch:
        patch.setattr(SingleProcess, "stop_check_interval_steps", 20)
        patch.setattr(SingleProcess, "any", stop_requested)
        with pytest.raises(Interrupted, match="after step 20"):
            run.train()
    assert asked_after == [20]
    TrainingRun.resume(tmp_path / "stopped").train()
    paths = (tmp_path / name / "latest.pth" for name in ("uninterrupted", "stopped"))
    one, two = (load_checkpoint(path) for path in paths)
    assert one.step == two.step == 23
    assert _comparable(one.state) == _comparable(two.state)
