"""Which moment of a run was its best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from cgt.runtime.errors import UsageError
from cgt.runtime.image.preprocess import U8, Packer, unpack
from cgt.runtime.models.metadata import Direction

from ..config import TrainConfig
from ..data.dataset import Dataset
from ..data.folders import ImageFolder, read_rgb
from ..data.transforms import center_square, squash_square
from ..evaluation.features import efficientnet_extractor
from ..evaluation.report import EvaluationImages, TranslateFn, measure_translation
from ..methods.base import Method

MAX_EVAL_IMAGES = 200  # test images of a domain that are looked at
_HIGHER_IS_BETTER = frozenset({"cycle_psnr", "psnr", "ssim", "mse_skill"})
_PAIRED_METRICS = frozenset({"psnr", "ssim", "l1"})


def make_translate_fn(
    network: Callable[[torch.Tensor], torch.Tensor], device: torch.device, multiple: int
) -> TranslateFn:
    """uint8 HWC -> uint8 HWC of any size, by a network that is ready to be used. What is no
    multiple is padded by reflection, as at run time."""

    def translate(image: U8) -> U8:
        height, width, channels = image.shape
        packer = Packer((height, width), channels=channels, multiple=multiple)
        with torch.no_grad():
            y = network(torch.from_numpy(packer(image))[None].to(device))
            output: U8 = unpack(y[0, :, :height, :width].float().cpu().numpy())
            return output

    return translate


def load_eval_images(
    folder: ImageFolder, size: int, squash: bool, max_images: int = MAX_EVAL_IMAGES
) -> list[U8]:
    """Squares of `size` of the first images, as samples show them."""
    to_square = squash_square if squash else center_square
    return [
        unpack(to_square(folder.convert(read_rgb(path)), size)[0])
        for path in folder.files[:max_images]
    ]


@dataclass
class BestMetric:
    """The best value of a metric so far."""

    metric: str
    value: float | None = None
    epoch: int = 0

    def update(self, value: float, epoch: int) -> bool:
        """Whether it is better than all before."""
        sign = -1 if self.metric in _HIGHER_IS_BETTER else 1
        if self.value is not None and sign * value >= sign * self.value:
            return False
        self.value, self.epoch = value, epoch
        return True

    def state_dict(self) -> dict[str, Any]:
        return {"metric": self.metric, "value": self.value, "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Another metric starts anew."""
        if state.get("metric") == self.metric:
            self.value, self.epoch = state["value"], state["epoch"]


class Evaluator(Protocol):
    """What measures a run."""

    def evaluate(self, model: Any) -> dict[str, float]:
        """Metrics by name, of what a method has learned so far."""


class GeneratorEvaluator:
    """Measures the generators of a run on its test images."""

    def __init__(self, config: TrainConfig, tests: tuple[ImageFolder, ImageFolder]) -> None:
        self.config = config
        squash = config.preprocess == "resize-and-crop"
        a, b = (load_eval_images(domain, config.inference_size, squash) for domain in tests)
        self.eval_images: dict[Direction, EvaluationImages] = {
            "AtoB": EvaluationImages(a, b),
            "BtoA": EvaluationImages(b, a),
        }

    @classmethod
    def from_config(cls, config: TrainConfig, data: Dataset) -> GeneratorEvaluator | None:
        """None where no metric was asked for. Raises UsageError for one that cannot be measured,
        MissingDependency for features that are not installed."""
        if config.best == "none":
            return None
        if config.best in _PAIRED_METRICS and config.method != "pix2pix":
            raise UsageError(f"--best {config.best} compares pairs; it is for --method pix2pix")
        if config.best == "cycle_psnr" and config.method != "cyclegan":
            raise UsageError("--best cycle_psnr is for --method cyclegan")
        if data.test is None:
            raise UsageError(f"--best {config.best} needs test images beside the training images")
        if config.best in ("frechet", "kernel"):
            from ..networks.efficientnet import load_efficientnet

            load_efficientnet(torch.device("cpu"))
        return cls(config, data.test)

    def evaluate(self, model: Method) -> dict[str, float]:
        """Means over the directions."""
        features = self.config.best in ("frechet", "kernel")
        backbones = [efficientnet_extractor()] if features else []
        results: list[dict[str, float]] = []
        with model.eval_generators() as generators:
            multiple = self.config.generator_config.multiple
            translate_fns = {
                name: make_translate_fn(network, model.device, multiple)
                for name, network in generators.items()
            }
            directions: Sequence[tuple[Direction, str, str]] = (
                ("AtoB", "G_A", "G_B"),
                ("BtoA", "G_B", "G_A"),
            )
            for direction, forth, back in directions:
                if forth in translate_fns:
                    report, _ = measure_translation(
                        self.eval_images[direction],
                        translate_fns[forth],
                        translate_fns.get(back),
                        backbones,
                        paired=model.paired,
                    )
                    results.append(_flatten_report(report))
        return {name: float(np.mean([each[name] for each in results])) for name in results[0]}


def _flatten_report(report: dict[str, Any]) -> dict[str, float]:
    values: dict[str, float] = {}
    for distance in report["distances"].values():
        values |= distance["translated"]
    values |= {f"cycle_{name}": value for name, value in report.get("cycle", {}).items()}
    values |= report.get("paired", {})
    return values
