"""Tests of the precision of training and of the PyTorch engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cgt.runtime.engines.base import BatchShape, EngineOptions
from cgt.runtime.errors import UsageError
from cgt.trainer.config import TrainConfig
from cgt.trainer.precision import Precision, set_tf32
from cgt.trainer.torch_engine import TorchEngine
from cgt.trainer.train import TrainingRun

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def _restore_tf32() -> Any:
    allowed = torch.backends.cudnn.allow_tf32
    yield
    set_tf32(False)
    torch.backends.cudnn.allow_tf32 = allowed


@pytest.mark.parametrize(
    ("name", "dtype", "tf32"),
    [
        ("fp32", None, False),
        ("tf32", None, True),
        ("bf16", torch.bfloat16, False),
        ("fp16", torch.float16, False),
    ],
)
def test_names_on_cuda(name: str, dtype: torch.dtype | None, tf32: bool) -> None:
    precision = Precision.from_name(name, CUDA)
    assert (precision.autocast_dtype, precision.tf32, precision.name) == (dtype, tf32, name)


@pytest.mark.parametrize("name", ["tf32", "fp16"])
def test_precisions_of_gpus_are_rejected_on_a_cpu(name: str) -> None:
    with pytest.raises(UsageError, match=f"--precision {name} needs a GPU"):
        Precision.from_name(name, CPU)


def test_fp32_runs_do_not_use_tf32(dataset: Path, tmp_path: Path) -> None:
    """PyTorch uses TF32 in convolutions unless told otherwise."""
    set_tf32(True)
    config = TrainConfig(
        data=str(dataset),
        **{"generator": "resnet1", "ngf": 4, "ndf": 4, "load_size": 36, "crop_size": 32},
        **{"steps": 1, "threads": 1, "precision": "fp32", "device": "cpu"},
    )
    TrainingRun.create(tmp_path, config)
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


def test_torch_engine_computes_in_fp32(run_folder: Path) -> None:
    """Even if a training run of the same process uses TF32, and that run keeps it."""
    shape = BatchShape(1, 3, 32, 32)
    engine = TorchEngine(EngineOptions(run_folder / "latest.pth", shape, device="cpu"))
    network, flags = engine._network, []
    network.register_forward_pre_hook(lambda *args: flags.append(torch.backends.cudnn.allow_tf32))
    set_tf32(True)
    engine.infer(np.zeros((1, 3, 32, 32), np.float32), np.empty((1, 3, 32, 32), np.float32))
    assert flags == [False]
    assert torch.backends.cudnn.allow_tf32
    assert engine.precision == "fp32"
