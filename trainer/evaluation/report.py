"""Evaluation report of a translation from one domain to another."""

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
MIN_IMAGES = 2  # per set, for distances


@dataclass(frozen=True)
class EvaluationImages:
    """Images of an evaluation, uint8 HWC RGB, all of one size.

    Attributes:
        source: Test images of the source domain, to translate.
        target: Test images of the target domain; for paired data, the targets of `source`.
        training: Other real images of the target domain.
    """

    source: Sequence[U8]
    target: Sequence[U8]
    training: Sequence[U8] = field(default_factory=list)


def feature_distances(
    extractor: FeatureExtractor, generated: Sequence[U8], real: Sequence[U8]
) -> dict[str, float]:
    """Return the Frechet and kernel distance of two image sets; 0 means equal."""
    x, y = extractor.extract(generated), extractor.extract(real)
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
    """Measure the quality of a translation.

    The report puts the distances of the translated images between two reference distances:
    "no_translation", of the untranslated sources, is an upper bound that a translation must beat,
    and "real", of other real images of the target domain, is a lower bound.

    Args:
        eval_images: The images.
        translate: Translation of an image, uint8 HWC.
        translate_back: Translation in the reverse direction, for the cycle; None if unavailable.
        extractors: Feature extractors of the distances.
        paired: Whether `target` has the targets of `source`.
        imagenet_class: Class whose predicted share the report includes.

    Returns:
        A report in plain JSON types, and rows of images: source, translated, then reconstructed
        and target, if available.

    Raises:
        MissingDependency: If the extra [projected] is needed and not installed.
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
        for extractor in extractors:
            report["distances"][extractor.name] = {
                name: feature_distances(extractor, images, eval_images.target)
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
