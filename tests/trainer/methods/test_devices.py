"""Tests of training on devices other than the CPU, on PyTorch's meta device.

Its tensors have shapes and types but no values, so the code runs as on a GPU up to the kernels.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from cgt.distill.losses import RandomMotion
from cgt.runtime.errors import Interrupted
from cgt.trainer import train
from cgt.trainer.checkpoint import load_checkpoint
from cgt.trainer.config import TrainConfig
from cgt.trainer.logs.metrics_csv import read_metrics
from cgt.trainer.logs.samples import SampleGrid
from cgt.trainer.methods import METHODS
from cgt.trainer.methods.base import Method
from cgt.trainer.networks.config import GeneratorConfig
from cgt.trainer.train import TrainingRun

META = torch.device("meta")
# Operators without a deterministic kernel for CUDA that networks or losses could use; from the
# documentation of torch.use_deterministic_algorithms.
NONDETERMINISTIC_ON_CUDA = {
    "reflection_pad2d_backward",
    "_adaptive_avg_pool2d_backward",
    "adaptive_max_pool2d_backward",
    "upsample_bilinear2d_backward",
    "upsample_bicubic2d_backward",
    "grid_sampler_2d_backward",
}


class _OperatorLog(TorchDispatchMode):
    """Records the names of the operators that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def _meta_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let reads of values succeed on the meta device, and let Adam run on it."""
    adam, isfinite, tolist = torch.optim.Adam, torch.isfinite, Tensor.tolist

    def meta_isfinite(x: Tensor) -> Tensor:
        return torch.ones(x.shape, dtype=torch.bool) if x.is_meta else isfinite(x)

    def meta_tolist(x: Tensor) -> Any:
        return torch.zeros(x.shape).tolist() if x.is_meta else tolist(x)

    monkeypatch.setattr(torch.optim, "Adam", lambda *args, fused, **kw: adam(*args, **kw))
    monkeypatch.setattr(torch, "isfinite", meta_isfinite)
    monkeypatch.setattr(Tensor, "tolist", meta_tolist)


def _train_config(**settings: Any) -> TrainConfig:
    tiny = {"data": "", "generator": "resnet1", "ngf": 4, "ndf": 4, "precision": "fp32"}
    tiny |= {"load_size": 36, "crop_size": 32, "pool_size": 3}
    return TrainConfig.for_method(**(tiny | settings))


def _step(config: TrainConfig) -> tuple[Method, set[str]]:
    """Run a step on the meta device, and return the operators that it ran."""
    model = METHODS[config.method](config, META, None)
    with _OperatorLog() as log:
        losses = model.step(torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32), 0)
    assert all(loss.is_meta for loss in losses.values())
    return model, log.names


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
def test_run_resumes_on_another_device(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses since the last row come from the checkpoint, later ones are on the device."""
    monkeypatch.setattr(train, "LOG_INTERVAL_STEPS", 2)
    monkeypatch.setattr(SampleGrid, "save", lambda *args: None)
    config = _train_config(data=str(dataset), steps=4, threads=1, workers=0, device="cpu")
    run = TrainingRun.create(tmp_path, config)
    with monkeypatch.context() as patch:
        patch.setattr(train, "stop_on_signal", _stop_at_once)
        with pytest.raises(Interrupted):
            run.train()
    assert len(load_checkpoint(tmp_path / "latest.pth").state["unlogged"]) == 1

    resumed = TrainingRun.resume(tmp_path, {"device": "meta"})
    assert all(losses.is_meta for losses in resumed.pending_losses)
    resumed.train()
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.csv")] == [2, 4]
    assert load_checkpoint(tmp_path / "latest.pth").step == 4


@contextlib.contextmanager
def _stop_at_once() -> Iterator[threading.Event]:
    stop = threading.Event()
    stop.set()
    yield stop


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"upsampling": "resize", "ema": 0.9, "accumulate": 2},
        {"method": "pix2pix", "generator": "unet32"},
        {"generator_json": GeneratorConfig("resnet1", 4, downsampling="antialias").to_json()},
        {"generator_json": GeneratorConfig("resnet1", 4, down_padding="reflect").to_json()},
    ],
    ids=["resnet", "resize", "pix2pix", "antialias", "reflected-convolution"],
)
def test_steps_are_deterministic_on_cuda(settings: dict[str, Any]) -> None:
    _, operators = _step(_train_config(**settings))
    assert "convolution_backward" in operators
    assert not operators & NONDETERMINISTIC_ON_CUDA


def test_random_motion_is_deterministic_on_cuda() -> None:
    x = torch.rand(1, 3, 32, 32, device=META, requires_grad=True)
    with _OperatorLog() as log:
        RandomMotion(2, -3, 0.01).next_frame(x).sum().backward()
    assert not log.names & NONDETERMINISTIC_ON_CUDA


def test_channels_last_networks_train_with_group_norm() -> None:
    """The backward of InstanceNorm2d is wrong for channels-last images on some devices."""
    _, operators = _step(_train_config(channels_last=True))
    assert "native_group_norm_backward" in operators
    assert "native_batch_norm_backward" not in operators


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # PyTorch's compiler does it
@pytest.mark.parametrize("channels_last", [False, True])
def test_compiled_generators_are_whole_graphs(channels_last: bool) -> None:
    """A graph break would cost what --compile gains; outputs and gradients stay the same."""
    config = _train_config(channels_last=channels_last)
    compiled, plain = (
        METHODS["cyclegan"](config, torch.device("cpu"), None).generators["G_A"] for _ in range(2)
    )
    compiled.compile(backend="aot_eager", fullgraph=True)
    x = torch.rand(1, 3, 32, 32)
    for network in (compiled, plain):
        network(x).square().mean().backward()
    for p, q in zip(compiled.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)
