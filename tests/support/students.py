"""Small students, one of every kind, as if they had been trained."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from cgt.trainer.networks import StudentGenerator
from cgt.trainer.networks.config import GeneratorConfig


def student_config(**changes: Any) -> GeneratorConfig:
    """Steered, with patches, residual: as `cgt distill` makes them."""
    defaults: dict[str, Any] = {
        "kind": "student2",
        "ngf": 8,
        "norm": "steered",
        "learn_residual": True,
        "bias": False,
        "patch": 2,
        "halvings": 1,
        "ends_kernel": 3,
        **dict.fromkeys(("ends_padding", "padding", "up_padding"), "zero"),
    }
    return GeneratorConfig(**(defaults | changes))


STUDENT_CONFIGS = [
    student_config(),
    student_config(patch=1, halvings=2, upsampling="resize", ends_kernel=5),
    student_config(norm="batch", block="mobile"),
    student_config(block="mobile", padding="reflect", up_padding="reflect", ends_padding="reflect"),
    student_config(norm="instance", bias=True, upsampling="resize", learn_residual=False),
    student_config(norm="instance_affine", bias=True, upsampling="resize", tone=True),
    student_config(tone=True),
]


def build_student(config: GeneratorConfig) -> StudentGenerator:
    """With weights that make every part matter, in eval mode."""
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
