"""Untrained generators for the export tests."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from cgt.trainer.networks import ResnetGenerator, init_weights
from cgt.trainer.networks.config import GeneratorConfig
from cgt.trainer.pretrained import TrainedGenerator


def make_resnet(kind: str = "resnet1", ngf: int = 4) -> nn.Module:
    torch.manual_seed(0)
    network = ResnetGenerator(GeneratorConfig(kind, ngf))
    init_weights(network)
    return network.eval()


def make_trained_generator(
    network: nn.Module, data: Path | None, size: int = 32, multiple: int = 4
) -> TrainedGenerator:
    """Return a stand-in for a checkpoint; `data` has testA and trainA."""
    return TrainedGenerator(
        network=network,
        path=Path("untrained.pth"),
        domains=("ramp", "noise"),
        direction="AtoB",
        size=(size, size),
        multiple=multiple,
        norm="instance",
        in_channels=3,
        out_channels=3,
        architecture={},
        test_folder=None if data is None else data / "testA",
        sha256="0" * 64,
        evidence=(),
        filter="bilinear",
    )
