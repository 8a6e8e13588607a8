"""Image features of pretrained networks (EfficientNet-Lite, Inception)."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cgt.runtime.image.channels import to_rgb
from cgt.runtime.image.preprocess import U8, pack

from ..networks.efficientnet import INPUT_SIDES_PX, load_efficientnet, normalize_input

BATCH_SIZE = 16
CPU = torch.device("cpu")
INCEPTION_WEIGHTS_FILE = "weights-inception-2015-12-05-6726825d.pth"

Features = NDArray[np.float64]  # N,D: a row per image


@dataclass(frozen=True)
class FeatureExtractor:
    """Named feature extractor.

    Attributes:
        name: Name of the network.
        extract: Maps N images, uint8 HWC, to features N,D.
    """

    name: str
    extract: Callable[[Sequence[U8]], Features]


def _make_batches(images: Sequence[U8], prepare: Callable[[U8], Any]) -> list[torch.Tensor]:
    rgb = [to_rgb(image) for image in images]
    return [
        torch.from_numpy(np.stack([prepare(image) for image in rgb[i : i + BATCH_SIZE]]))
        for i in range(0, len(images), BATCH_SIZE)
    ]


def _efficientnet_outputs(
    images: Sequence[U8], name: str, head: Callable[[Any, Any], Any], device: torch.device = CPU
) -> Features:
    network, side = load_efficientnet(device, name), INPUT_SIDES_PX[name]
    outputs = []
    # Metrics of runs in different precisions are comparable only if the features are float32.
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        for batch in _make_batches(images, lambda image: pack(image, (side, side))):
            pooled = network.extract_features(normalize_input(batch.to(device))).mean((2, 3))
            outputs.append(head(network, pooled).double().cpu().numpy())
    return np.concatenate(outputs)


def efficientnet_extractor(
    name: str = "efficientnet-lite0", device: torch.device = CPU
) -> FeatureExtractor:
    """Create an extractor of 1,280 EfficientNet-Lite features.

    Its `extract` raises MissingDependency if the extra [projected] is not installed.

    Args:
        name: A key of INPUT_SIDES_PX.
        device: Device that computes the features.
    """
    extract = functools.partial(
        _efficientnet_outputs, name=name, head=lambda network, pooled: pooled, device=device
    )
    return FeatureExtractor(name, extract)


def predicted_class_share(
    images: Sequence[U8], index: int, name: str = "efficientnet-lite0"
) -> float:
    """Return the share of images that an EfficientNet assigns to an ImageNet class.

    Args:
        images: uint8 HWC RGB or gray images.
        index: Index of the class (340 is zebra).
        name: A key of INPUT_SIDES_PX.

    Returns:
        A share in [0, 1].

    Raises:
        MissingDependency: If the extra [projected] is not installed.
    """
    logits = _efficientnet_outputs(images, name, lambda network, pooled: network._fc(pooled))
    return float((logits.argmax(1) == index).mean())


def inception_extractor(weights: Path | None = None) -> FeatureExtractor | None:
    """Create an extractor of 2,048 features of the Inception network that defines FID.

    clean-fid and torchmetrics use the same features.

    Args:
        weights: Weights file; by default the one in torch-fidelity's download folder.

    Returns:
        The extractor; None if torch-fidelity or the weights are missing.
    """
    path = weights or Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_WEIGHTS_FILE
    if importlib.util.find_spec("torch_fidelity") is None or not path.is_file():
        return None
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(path)).eval()

    def extract(images: Sequence[U8]) -> Features:
        with torch.no_grad():
            batches = _make_batches(images, lambda image: image.transpose(2, 0, 1))
            return np.concatenate([network(batch)[0].double().numpy() for batch in batches])

    return FeatureExtractor("inception-v3-compat", extract)
