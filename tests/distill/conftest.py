"""Fixtures of distillation tests: a teacher, photos and a minimal configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cgt.distill.config import DistillConfig
from cgt.runtime.utils.atomic import file_sha256
from cgt.trainer.networks import build_generator
from cgt.trainer.networks.config import GeneratorConfig


@pytest.fixture(scope="session")
def teacher_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a narrow ResNet with high-contrast outputs as a plain state dict."""
    torch.manual_seed(0)
    network = build_generator(GeneratorConfig("resnet1", 8))
    path = tmp_path_factory.mktemp("teacher") / "latest_net_G_A.pth"
    torch.save(network.state_dict(), path)
    return path


MakeConfig = Callable[..., DistillConfig]


@pytest.fixture
def make_config(teacher_path: Path, dataset: Path) -> MakeConfig:
    """Return a function that builds a configuration of 8 steps, the last three in INT8."""

    def config(**fields: Any) -> DistillConfig:
        student = GeneratorConfig(
            "student1", 4, upsampling="resize", n_downsampling=1, shuffle_factor=2, stem_kernel=3
        )
        return DistillConfig(
            **{
                **{"data": str(dataset), "photos": (str(dataset),), "teacher": str(teacher_path)},
                **{
                    "teacher_sha256": file_sha256(teacher_path),
                    "generator_json": student.to_json(),
                },
                **{"generator": "student1", "ngf": 4, "crop_size": 64, "load_size": 72},
                **{"steps": 8, "int8_steps": 3, "batch_size": 2, "ema": 0.9},
                **{"precision": "fp32", "threads": 1, "ndf": 4, "d_layers": 1},
                **fields,
            }
        )

    return config
