"""Comparison of another project's code with cgt's own reading of the same file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cgt.runtime.errors import CgtError, UsageError
from cgt.runtime.image.metrics import psnr_from_mse
from cgt.runtime.models.checkpoint_options import CheckpointOptions

from ..importers.importer import CODE_HINT
from ..pretrained import TrainedGenerator, open_generator
from .interface import synthetic_image

MAX_EQUAL_DIFFERENCE = 1e-3  # of [-1, 1]: an eighth of a level of an image
NUM_IMAGES = 4


@dataclass(frozen=True)
class Difference:
    """Difference of two networks' outputs over the range [-1, 1]."""

    psnr_db: float
    max_difference: float
    num_images: int

    @property
    def is_equal(self) -> bool:
        return self.max_difference < MAX_EQUAL_DIFFERENCE

    def __str__(self) -> str:
        return (
            f"PSNR {self.psnr_db:.1f} dB, max difference {self.max_difference:.1e} of [-1, 1], on "
            f"{self.num_images} images"
        )


def compare_with_reading(generator: TrainedGenerator, images: Sequence[Tensor]) -> str:
    """Read the checkpoint of a generator without its code, and compare both.

    Args:
        generator: Generator of `open_code_generator`.
        images: Tensors 1,C,H,W in [-1, 1] of sizes that its network takes; any number is used up to
            NUM_IMAGES. Without any, synthetic ones.

    Returns:
        A line about the result.
    """
    if not generator.sha256:
        return "there is no checkpoint to read without the code"
    known = generator.direction if generator.direction_known else None
    try:
        reading = open_generator(generator.path, known, options=generator.options.without_code)
        difference = compare(generator, reading, images)
    except CgtError as error:
        reason = str(error).partition(CODE_HINT)[0]
        return f"without --code, cgt does not read this file: {reason}"
    if difference.is_equal:
        return f"cgt's own reading of the file agrees with their code: {difference}"
    return (
        f"warning: cgt's own reading of the file ({reading.summary}) differs from their code: "
        f"{difference}; their code is used"
    )


def compare(
    generator: TrainedGenerator, other: TrainedGenerator, images: Sequence[Tensor] = ()
) -> Difference:
    """Compare the outputs of two generators.

    Args:
        generator: The first.
        other: The second.
        images: As for `compare_with_reading`.

    Raises:
        UsageError: They have different channels, or one does not take the images.
    """
    channels = (generator.in_channels, generator.out_channels)
    if channels != (other.in_channels, other.out_channels):
        raise UsageError(
            f"it has {other.in_channels} to {other.out_channels} channels, in their code "
            f"{channels[0]} to {channels[1]}"
        )
    images = list(images[:NUM_IMAGES]) or [
        synthetic_image(generator.size, generator.in_channels, seed) for seed in range(NUM_IMAGES)
    ]
    errors, largest = [], 0.0
    for image in images:
        with torch.no_grad():
            try:
                difference = generator.network(image) - other.network(image)
            except RuntimeError as error:
                raise UsageError(f"it does not take the same images ({error})") from None
        errors.append(float(difference.square().mean()))
        largest = max(largest, float(difference.abs().max()))
    return Difference(psnr_from_mse(sum(errors) / len(errors), data_range=2), largest, len(images))


def require_equal(reading: TrainedGenerator, options: CheckpointOptions) -> None:
    """Check that cgt's own network translates like another project's code.

    Args:
        reading: Generator as cgt read it.
        options: What the user states, with the code.

    Raises:
        UsageError: It does not, so cgt cannot train it.
        CheckpointError: The file does not fit the code.
    """
    known = reading.direction if reading.direction_known else None
    difference = compare(open_generator(reading.path, known, options=options), reading)
    if not difference.is_equal:
        raise UsageError(
            f"{reading.path} is no generator that cgt can train: its closest one differs from "
            f"their code ({difference})"
        )
