"""Which moment of a run was its best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from cgt.runtime.artifact import Direction
from cgt.runtime.errors import UsageError
from cgt.runtime.preprocess import U8, Packer, unpack

from .dataset import Dataset
from .domain import Domain, read
from .evaluation.features import efficientnet_features
from .evaluation.report import Pictures, Translate, measure
from .method import Method
from .trainconfig import TrainConfig
from .views import middle, whole

MOST = 200  # test images of a domain that are looked at
_BIGGER_IS_BETTER = frozenset({"cycle_psnr", "psnr", "ssim", "explained"})
_OF_PAIRS = frozenset({"psnr", "ssim", "l1"})


def network_translate(
    network: Callable[[torch.Tensor], torch.Tensor], device: torch.device, multiple: int
) -> Translate:
    """uint8 HWC -> uint8 HWC of any size, by a network that is ready to be used. What is no
    multiple is padded by reflection, as at run time."""

    def translate(image: U8) -> U8:
        height, width, channels = image.shape
        packer = Packer((height, width), channels=channels, multiple=multiple)
        with torch.no_grad():
            y = network(torch.from_numpy(packer(image))[None].to(device))
            made: U8 = unpack(y[0, :, :height, :width].float().cpu().numpy())
            return made

    return translate


def pictures_of(domain: Domain, size: int, square: bool, most: int = MOST) -> list[U8]:
    """Squares of `size` of the first images, as samples show them."""
    view = whole if square else middle
    return [unpack(view(domain.finish(read(path)), size)[0]) for path in domain.files[:most]]


@dataclass
class Best:
    """The best value of a metric so far."""

    metric: str
    value: float | None = None
    epoch: int = 0

    def update(self, value: float, epoch: int) -> bool:
        """Whether it is better than all before."""
        sign = -1 if self.metric in _BIGGER_IS_BETTER else 1
        if self.value is not None and sign * value >= sign * self.value:
            return False
        self.value, self.epoch = value, epoch
        return True

    def state(self) -> dict[str, Any]:
        return {"metric": self.metric, "value": self.value, "epoch": self.epoch}

    def load(self, state: dict[str, Any]) -> None:
        """Another metric starts anew."""
        if state.get("metric") == self.metric:
            self.value, self.epoch = state["value"], state["epoch"]


class Judges(Protocol):
    """What measures a run."""

    def measure(self, model: Any) -> dict[str, float]:
        """Metrics by name, of what a method has learned so far."""


class Judge:
    """Measures the generators of a run on its test images."""

    def __init__(self, config: TrainConfig, tests: tuple[Domain, Domain]) -> None:
        self.config = config
        square = config.preprocess == "resize-and-crop"
        a, b = (pictures_of(domain, config.serving_size, square) for domain in tests)
        self.pictures: dict[Direction, Pictures] = {
            "AtoB": Pictures(a, b),
            "BtoA": Pictures(b, a),
        }

    @classmethod
    def of(cls, config: TrainConfig, data: Dataset) -> Judge | None:
        """None where no metric was asked for. Raises UsageError for one that cannot be measured,
        MissingDependency for features that are not installed."""
        if config.best == "none":
            return None
        if config.best in _OF_PAIRS and config.method != "pix2pix":
            raise UsageError(f"--best {config.best} compares pairs; it is for --method pix2pix")
        if config.best == "cycle_psnr" and config.method != "cyclegan":
            raise UsageError("--best cycle_psnr is for --method cyclegan")
        if data.tests is None:
            raise UsageError(f"--best {config.best} needs test images beside the training images")
        if config.best in ("frechet", "kernel"):
            from .backbone import efficientnet

            efficientnet(torch.device("cpu"))
        return cls(config, data.tests)

    def measure(self, model: Method) -> dict[str, float]:
        """Means over the directions."""
        features = self.config.best in ("frechet", "kernel")
        backbones = [efficientnet_features()] if features else []
        found: list[dict[str, float]] = []
        with model.at_rest() as shown:
            multiple = self.config.generator_config.multiple
            ready = {
                name: network_translate(network, model.device, multiple)
                for name, network in shown.items()
            }
            directions: Sequence[tuple[Direction, str, str]] = (
                ("AtoB", "G_A", "G_B"),
                ("BtoA", "G_B", "G_A"),
            )
            for direction, forth, back in directions:
                if forth in ready:
                    report, _ = measure(
                        self.pictures[direction],
                        ready[forth],
                        ready.get(back),
                        backbones,
                        paired=model.paired,
                    )
                    found.append(_flat(report))
        return {name: float(np.mean([each[name] for each in found])) for name in found[0]}


def _flat(report: dict[str, Any]) -> dict[str, float]:
    values: dict[str, float] = {}
    for distance in report["distances"].values():
        values |= distance["translated"]
    values |= {f"cycle_{name}": value for name, value in report.get("cycle", {}).items()}
    values |= report.get("paired", {})
    return values
