"""What is evaluated: the generators of a checkpoint, or a model file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from cgt.runtime.errors import CheckpointError, UsageError
from cgt.runtime.inference.translator import Translator
from cgt.runtime.models.metadata import Direction, read_metadata

from ..checkpoint import load_checkpoint
from ..logs.best_checkpoint import make_translate_fn
from ..pretrained import TrainedGenerator, open_generator
from .report import TranslateFn

TranslateFactory = Callable[[tuple[int, int]], TranslateFn]


@dataclass(frozen=True)
class EvaluationSubject:
    """Translations by direction, and how they were trained."""

    name: str
    translators: dict[Direction, TranslateFactory]  # given (height, width) of the pictures to come
    directions: tuple[Direction, ...]
    domains: tuple[str, str]
    size: int  # side of the pictures
    channels: tuple[int, int] = (3, 3)  # of A and B
    squash: bool = True  # pictures were squeezed into squares
    paired: bool = False
    data: Path | None = None


def open_subject(
    ckpt: Path | None,
    model: Path | None,
    direction: Direction | None,
    size: int | None,
    network: str | None = None,
) -> EvaluationSubject:
    """Raises CheckpointError or ModelError for a file that is none, UsageError for a direction
    that it does not have or a size that it does not take."""
    if model is not None:
        subject = _subject_from_model(model, direction)
    else:
        assert ckpt is not None
        subject = _subject_from_checkpoint(ckpt, direction, network)
    return replace(subject, size=size) if size else subject


def _subject_from_model(path: Path, direction: Direction | None) -> EvaluationSubject:
    artifact = read_metadata(path)
    if direction not in (None, artifact.direction):
        raise UsageError(f"{path} translates {artifact.direction}; leave out --direction")

    def for_size(size: tuple[int, int]) -> TranslateFn:
        return Translator(path, size=size, frame_size=size)

    own = artifact.direction
    return EvaluationSubject(
        str(path), {own: for_size}, (own,), artifact.domains, min(artifact.size)
    )


def _subject_from_checkpoint(
    path: Path, direction: Direction | None, network: str | None
) -> EvaluationSubject:
    first = open_generator(path, direction, network)
    generators: dict[Direction, TrainedGenerator] = {first.direction: first}
    other: Direction = "BtoA" if first.direction == "AtoB" else "AtoB"
    # A file that tells no direction would give the same generator again.
    if network is None and first.direction_known:
        with suppress(CheckpointError, UsageError):  # it may have one; then there is no cycle
            generators[other] = open_generator(path, other)
    channels = (first.in_channels, first.out_channels)
    subject = EvaluationSubject(
        str(path),
        {name: _translate_factory(generator) for name, generator in generators.items()},
        (direction,) if direction else tuple(sorted(generators)),
        first.domains,
        first.size[0],
        channels if first.direction == "AtoB" else channels[::-1],
    )
    with suppress(CheckpointError):  # of another trainer, which has not recorded it
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
