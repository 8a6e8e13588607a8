"""Everything that is measured of a translation from one domain to another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cgt.runtime.image.metrics import image_similarity
from cgt.runtime.image.preprocess import U8

from ..networks.efficientnet import INPUT_SIDES_PX
from .distances import frechet_distance, kernel_distance
from .features import FeatureExtractor, predicted_class_share

TranslateFn = Callable[[U8], U8]
MIN_IMAGES = 2  # pictures in a set


@dataclass(frozen=True)
class EvaluationImages:
    """uint8 HWC RGB, all of one size."""

    source: Sequence[U8]  # test images to translate
    target: Sequence[U8]  # test images of what they shall become; the partners, of pairs
    training: Sequence[U8] = field(default_factory=list)  # other real images of the target


def feature_distances(
    backbone: FeatureExtractor, generated: Sequence[U8], real: Sequence[U8]
) -> dict[str, float]:
    """Frechet and kernel distance of two sets; 0 is equal."""
    x, y = backbone.extract(generated), backbone.extract(real)
    return {"frechet": frechet_distance(x, y), "kernel": kernel_distance(x, y)}


def measure_translation(
    eval_images: EvaluationImages,
    translate: TranslateFn,
    translate_back: TranslateFn | None,
    extractors: Sequence[FeatureExtractor],
    *,
    paired: bool = False,
    imagenet_class: int | None = None,
) -> tuple[dict[str, Any], list[list[U8]]]:
    """A report in plain JSON types, and rows of pictures: source, translated, way back or partner.

    Distances come with two that say what they are worth: of the sources left as they are, which a
    translation must beat, and of other real images of the target, which none can be expected to.
    """
    translated = [translate(image) for image in eval_images.source]
    report: dict[str, Any] = {"images": len(translated), "distances": {}}
    rows: list[list[U8]] = [[a, b] for a, b in zip(eval_images.source, translated, strict=True)]
    sets = {
        "translated": translated,
        "no_translation": eval_images.source,
        "real": eval_images.training,
    }
    if min(len(translated), len(eval_images.target)) >= MIN_IMAGES:
        for backbone in extractors:
            report["distances"][backbone.name] = {
                name: feature_distances(backbone, images, eval_images.target)
                for name, images in sets.items()
                if len(images) >= MIN_IMAGES
            }
    if translate_back is not None:
        reconstructed = [translate_back(image) for image in translated]
        report["cycle"] = image_similarity(zip(reconstructed, eval_images.source, strict=True))
        rows = [[*row, image] for row, image in zip(rows, reconstructed, strict=True)]
    if paired:
        report["paired"] = image_similarity(zip(translated, eval_images.target, strict=True))
        rows = [[*row, image] for row, image in zip(rows, eval_images.target, strict=True)]
    if imagenet_class is not None:
        shares = sets | {"target": eval_images.target}
        report["imagenet_class"] = {"class": imagenet_class} | {
            network: {
                name: predicted_class_share(images, imagenet_class, network)
                for name, images in shares.items()
                if images and name != "real"
            }
            for network in INPUT_SIDES_PX
        }
    return report, rows
