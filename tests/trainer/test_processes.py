"""Two processes over gloo compute what one computes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cgt.runtime.errors import UsageError
from cgt.trainer.checkpoint import load_checkpoint
from cgt.trainer.csvlog import read_log
from cgt.trainer.processes import open_processes
from conftest import TINY, run_cgt

TWO = [*TINY, "--batch-size", "2", "--pool-size", "3", "--ema", "0.9", "--accumulate", "2"]


def test_losses_and_weights_are_those_of_one(dataset: Path, tmp_path: Path) -> None:
    """Pools included: each process would else keep its own."""
    pytest.importorskip("lightning_fabric")
    flags = ["--data", dataset, *TWO, "--steps", "6"]
    done = run_cgt("train", *flags, "--out", tmp_path / "one")
    assert done.returncode == 0, done.stderr
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    cgt = str(Path(sys.executable).with_name("cgt"))
    command = [*torchrun, "--nproc-per-node", "2", cgt, "train", *map(str, flags)]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "two")],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "2 processes" in done.stdout
    assert done.stdout.count("trainA: 6 images") == 1, "one of them speaks"
    one, two = (read_log(tmp_path / name / "metrics.csv")[-1] for name in ("one", "two"))
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


def test_a_batch_must_be_shared_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="--batch-size 3"):
        open_processes("cpu", 3)
