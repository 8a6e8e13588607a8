"""Subject of an evaluation: the generators of a checkpoint, or a model file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from cgt.runtime.errors import CheckpointError, UsageError
from cgt.runtime.inference.translator import Translator
from cgt.runtime.models.checkpoint_options import NO_OPTIONS, CheckpointOptions
from cgt.runtime.models.metadata import Direction, read_metadata
from cgt.runtime.models.third_party import ModelFormat

from ..checkpoint import load_checkpoint
from ..config import reverse_direction
from ..logs.best_checkpoint import make_translate_fn
from ..pretrained import TrainedGenerator, open_generator
from .report import TranslateFn

TranslateFactory = Callable[[tuple[int, int]], TranslateFn]  # called with (height, width)


@dataclass(frozen=True)
class EvaluationSubject:
    """Translations to evaluate, and how they were trained.

    Attributes:
        name: Path of the checkpoint or model.
        translators: By direction, a function that maps the (height, width) of images to their
            translation.
        directions: Directions to evaluate.
        domains: Names of A and B.
        size: Side of the evaluated images, in pixels.
        channels: Channels of A and B.
        squash: Whether training resized images to squares regardless of their aspect ratio.
        paired: Whether training used image pairs.
        data: Data set of the training, if known.
    """

    name: str
    translators: dict[Direction, TranslateFactory]
    directions: tuple[Direction, ...]
    domains: tuple[str, str]
    size: int
    channels: tuple[int, int] = (3, 3)
    squash: bool = True
    paired: bool = False
    data: Path | None = None


def open_subject(
    ckpt: Path | None,
    model: Path | None,
    direction: Direction | None,
    size: int | None,
    network: str | None = None,
    model_format: ModelFormat | None = None,
    options: CheckpointOptions = NO_OPTIONS,
) -> EvaluationSubject:
    """Open a checkpoint or a model for evaluation.

    Args:
        ckpt: Checkpoint; required if `model` is None.
        model: Model file.
        direction: Direction to evaluate; by default all that the file has.
        size: Side of the evaluated images, in pixels; by default that of the training.
        network: Name of a network in a checkpoint that has several.
        model_format: What the user says about a model of another tool.
        options: What the user states about a checkpoint of another trainer.

    Raises:
        CheckpointError: If the checkpoint cannot be read.
        ModelError: If the model cannot be read.
        UsageError: If the file does not have the direction or does not support the size.
    """
    if model is not None:
        subject = _subject_from_model(model, direction, model_format)
    else:
        assert ckpt is not None
        subject = _subject_from_checkpoint(ckpt, direction, network, options)
    return replace(subject, size=size) if size else subject


def _subject_from_model(
    path: Path, direction: Direction | None, model_format: ModelFormat | None
) -> EvaluationSubject:
    metadata = read_metadata(path, model_format)
    if direction not in (None, metadata.direction):
        raise UsageError(f"{path} translates {metadata.direction}; omit --direction")

    def for_size(size: tuple[int, int]) -> TranslateFn:
        return Translator(path, size=size, frame_size=size, model_format=model_format)

    channels = (metadata.in_channels, metadata.out_channels)
    return EvaluationSubject(
        name=str(path),
        translators={metadata.direction: for_size},
        directions=(metadata.direction,),
        domains=metadata.domains,
        size=min(metadata.size),
        channels=channels if metadata.direction == "AtoB" else channels[::-1],
    )


def _subject_from_checkpoint(
    path: Path, direction: Direction | None, network: str | None, options: CheckpointOptions
) -> EvaluationSubject:
    first = open_generator(path, direction, network, options)
    generators: dict[Direction, TrainedGenerator] = {first.direction: first}
    reverse = reverse_direction(first.direction)
    # If the file does not tell its direction, the reverse direction would be the same generator.
    if network is None and first.direction_known:
        with suppress(CheckpointError, UsageError):  # without a reverse direction, skip the cycle
            generators[reverse] = open_generator(path, reverse, options=options)
    channels = (first.in_channels, first.out_channels)
    subject = EvaluationSubject(
        name=str(path),
        translators={name: _translate_factory(generator) for name, generator in generators.items()},
        directions=(direction,) if direction else tuple(sorted(generators)),
        domains=first.domains,
        size=first.size[0],
        channels=channels if first.direction == "AtoB" else channels[::-1],
    )
    with suppress(CheckpointError):  # other trainers do not record these settings
        config = load_checkpoint(path).config
        return replace(
            subject,
            squash=config.preprocess == "resize-and-crop",
            paired=config.method == "pix2pix",
            data=Path(config.data),
        )
    return subject


def _translate_factory(generator: TrainedGenerator) -> TranslateFactory:
    translate = make_translate_fn(generator.network, torch.device("cpu"), generator.multiple)
    return lambda size: translate
