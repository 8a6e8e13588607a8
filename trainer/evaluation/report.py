"""Everything that is measured of a translation from one domain to another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cgt.runtime.preprocess import U8

from ..backbone import SIDES
from .distances import frechet_distance, kernel_distance
from .features import Backbone, share_of_class
from .likeness import likeness

Translate = Callable[[U8], U8]
LEAST = 2  # pictures in a set


@dataclass(frozen=True)
class Pictures:
    """uint8 HWC RGB, all of one size."""

    source: Sequence[U8]  # test images to translate
    target: Sequence[U8]  # test images of what they shall become; the partners, of pairs
    training: Sequence[U8] = field(default_factory=list)  # other real images of the target


def distances(backbone: Backbone, made: Sequence[U8], real: Sequence[U8]) -> dict[str, float]:
    """Frechet and kernel distance of two sets; 0 is equal."""
    x, y = backbone.extract(made), backbone.extract(real)
    return {"frechet": frechet_distance(x, y), "kernel": kernel_distance(x, y)}


def measure(
    pictures: Pictures,
    forth: Translate,
    back: Translate | None,
    backbones: Sequence[Backbone],
    *,
    paired: bool = False,
    imagenet_class: int | None = None,
) -> tuple[dict[str, Any], list[list[U8]]]:
    """A report in plain JSON types, and rows of pictures: source, translated, way back or partner.

    Distances come with two that say what they are worth: of the sources left as they are, which a
    translation must beat, and of other real images of the target, which none can be expected to.
    """
    made = [forth(image) for image in pictures.source]
    report: dict[str, Any] = {"images": len(made), "distances": {}}
    rows: list[list[U8]] = [[a, b] for a, b in zip(pictures.source, made, strict=True)]
    sets = {"translated": made, "no_translation": pictures.source, "real": pictures.training}
    if min(len(made), len(pictures.target)) >= LEAST:
        for backbone in backbones:
            report["distances"][backbone.name] = {
                name: distances(backbone, images, pictures.target)
                for name, images in sets.items()
                if len(images) >= LEAST
            }
    if back is not None:
        returned = [back(image) for image in made]
        report["cycle"] = likeness(zip(returned, pictures.source, strict=True))
        rows = [[*row, image] for row, image in zip(rows, returned, strict=True)]
    if paired:
        report["paired"] = likeness(zip(made, pictures.target, strict=True))
        rows = [[*row, image] for row, image in zip(rows, pictures.target, strict=True)]
    if imagenet_class is not None:
        shares = sets | {"target": pictures.target}
        report["imagenet_class"] = {"class": imagenet_class} | {
            network: {
                name: share_of_class(images, imagenet_class, network)
                for name, images in shares.items()
                if images and name != "real"
            }
            for network in SIDES
        }
    return report, rows
