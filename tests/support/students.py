"""Small students of every kind, with the statistics of trained ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from cgt.trainer.networks import StudentGenerator
from cgt.trainer.networks.config import GeneratorConfig


def student_config(**changes: Any) -> GeneratorConfig:
    """Return a FiLM-conditioned, pixel-unshuffled, residual student, as in `cgt distill`."""
    defaults: dict[str, Any] = {
        "kind": "student2",
        "ngf": 8,
        "norm": "batch_film",
        "learn_residual": True,
        "bias": False,
        "shuffle_factor": 2,
        "n_downsampling": 1,
        "stem_kernel": 3,
        **dict.fromkeys(("stem_padding", "padding", "up_padding"), "zero"),
    }
    return GeneratorConfig(**(defaults | changes))


STUDENT_CONFIGS = [
    student_config(),
    student_config(shuffle_factor=1, n_downsampling=2, upsampling="resize", stem_kernel=5),
    student_config(norm="batch", block="separable"),
    student_config(
        block="separable", padding="reflect", up_padding="reflect", stem_padding="reflect"
    ),
    student_config(norm="instance", bias=True, upsampling="resize", learn_residual=False),
    student_config(norm="instance_affine", bias=True, upsampling="resize", color_transform=True),
    student_config(color_transform=True),
]


def build_student(config: GeneratorConfig) -> StudentGenerator:
    """Build a student in eval mode whose weights make every layer contribute."""
    torch.manual_seed(1)
    network = StudentGenerator(config).eval()
    for name, value in network.state_dict().items():
        if "running" in name:
            value.uniform_(0.5, 1.5)
    if network.film is not None:
        last = network.film.head[-1]
        assert isinstance(last, nn.Linear)
        nn.init.normal_(last.weight, 0, 0.3)
    return network
