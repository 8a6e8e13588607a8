"""Tests of all architectures that a GeneratorConfig can describe."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from cgt.export.graph.reduced_precision import ReducedPrecision
from cgt.export.graph.trace import GraphInterface, trace
from cgt.runtime.engines import BatchShape, open_engine
from cgt.runtime.errors import CheckpointError, UsageError
from cgt.runtime.image.metrics import psnr_from_mse
from cgt.trainer.config import TrainConfig
from cgt.trainer.networks import build_generator
from cgt.trainer.networks.config import GeneratorConfig

CONFIGS = [
    GeneratorConfig("resnet2", 4),
    GeneratorConfig("resnet2", 4, norm="batch", bias=False, dropout=True),
    GeneratorConfig("resnet2", 4, norm="instance_affine", in_channels=1, out_channels=4),
    GeneratorConfig("resnet2", 4, norm="none", upsampling="resize", n_downsampling=3),
    GeneratorConfig("resnet2", 4, upsampling="antialias", downsampling="antialias"),
    GeneratorConfig("resnet2", 4, block="separable", widths=(4, 12, 8, 20, 24, 8, 4)),
    GeneratorConfig(
        "resnet1",
        4,
        sampling_kernel=4,
        stem_kernel=5,
        no_stem_norm=True,
        output_activation="sigmoid",
    ),
    GeneratorConfig(
        "resnet1",
        4,
        padding="zero",
        stem_padding="zero",
        down_padding="reflect",
        up_padding="replicate",
    ),
    GeneratorConfig("resnet1", 4, sampling_kernel=4, stem_kernel=4, norm="batch", residual=False),
    GeneratorConfig("unet32", 4),
    GeneratorConfig("unet16", 4, norm="batch", bias=False, dropout=True, in_channels=4),
    GeneratorConfig("unet8", 4, learn_residual=True),
]


def build_random(config: GeneratorConfig) -> torch.nn.Module:
    torch.manual_seed(1)
    network = build_generator(config).eval()
    for name, value in network.state_dict().items():
        if "running" in name:
            value.uniform_(0.5, 1.5)
    return network


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.kind}-{c.norm}")
def test_generator_keeps_size_and_config_round_trips(config: GeneratorConfig) -> None:
    assert GeneratorConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    height, width = 2 * config.multiple * 4, config.multiple * 4
    with torch.no_grad():
        out = build_random(config)(torch.rand(2, config.in_channels, height, width) * 2 - 1)
    assert out.shape == (2, config.out_channels, height, width)
    assert -1 <= out.min() < out.max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("config", [CONFIGS[i] for i in (1, 4, 5, 8, 10)], ids=lambda c: c.kind)
def test_generator_exports(config: GeneratorConfig, tmp_path: Path) -> None:
    network = build_random(config)
    side = max(config.multiple, 16)
    batch = np.random.default_rng(0).uniform(-1, 1, (1, config.in_channels, side, 2 * side))
    x = batch.astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(x)).numpy()
    half = config.norm == "batch"
    path = tmp_path / "g.onnx"
    graph = ReducedPrecision(network) if half else network
    onnx.save(trace(graph, GraphInterface(config.in_channels, config.multiple)), path)
    out = np.zeros_like(expected)
    with open_engine(path, BatchShape(*x.shape), "onnxruntime", precision="fp32") as engine:
        engine.infer(x, out)
    assert psnr_from_mse(float(np.mean((out - expected) ** 2)), data_range=2) > (
        50 if half else 110
    )


def test_dropout_is_active_in_training_only() -> None:
    for kind in ("resnet2", "unet64"):
        network = build_generator(GeneratorConfig(kind, 4, dropout=True))
        x = torch.rand(1, 3, 64, 64)
        with torch.no_grad():
            assert not torch.equal(network(x), network(x))
            network.eval()
            assert torch.equal(network(x), network(x))


def test_unets_match_pix2pix() -> None:
    for kind, convolutions, million in (("unet128", 14, 41.829), ("unet256", 16, 54.414)):
        with torch.device("meta"):
            network = build_generator(GeneratorConfig(kind, norm="batch", bias=False))
        keys = network.state_dict()
        assert sum(1 for value in keys.values() if value.dim() == 4) == convolutions
        assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(million, abs=0.1)
        assert "model.model.0.weight" in keys
        assert "model.model.1.model.3.model.1.weight" in keys


@pytest.mark.parametrize(
    "changes",
    [
        {"norm": "group"},
        {"upsampling": "shuffle"},
        {"kind": "unet100"},
        {"widths": (4, 4)},
        {"in_channels": 0},
        {"stem_kernel": 6},
        {"learn_residual": True, "in_channels": 1},
    ],
)
def test_invalid_configs_are_rejected(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        GeneratorConfig(**({"kind": "resnet1"} | changes))


def test_unknown_fields_are_rejected() -> None:
    with pytest.raises(CheckpointError, match="newer"):
        GeneratorConfig.from_json({"kind": "resnet9", "attention": True})


def test_unet_crop_size_must_be_a_multiple() -> None:
    config = TrainConfig(data="", generator="unet128", crop_size=256)
    assert config.inference_size == 256
    assert config.architecture()["kind"] == "unet128"
    with pytest.raises(UsageError, match="multiple of 128"):
        TrainConfig(data="", generator="unet128", load_size=300, crop_size=192)
