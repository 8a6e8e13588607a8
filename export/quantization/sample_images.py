"""Images for calibration and comparison: real ones if available, else synthetic dead leaves."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from cgt.runtime.errors import SourceError, UsageError
from cgt.runtime.image.channels import convert_channels
from cgt.runtime.image.files import list_images, read_image
from cgt.runtime.image.geometry import plan_geometry
from cgt.runtime.image.preprocess import F32, U8, pack, resize
from cgt.runtime.models.metadata import ModelMetadata
from cgt.runtime.models.third_party import IMAGE_CHANNELS
from cgt.runtime.sources import Frame, open_source
from cgt.trainer.data.synthetic import convert_planes, dead_leaves

NUM_IMAGES = 8
"""Images to compare on, and the fewest to calibrate on."""

T = TypeVar("T")
ResizeFn = Callable[[U8], U8]


@dataclass(frozen=True)
class ImageSet:
    """uint8 HWC RGB images in sizes that the network takes."""

    images: tuple[U8, ...]
    origin: str  # "images of horse2zebra/testA"

    def to_tensors(self, channels: int) -> list[F32]:
        """Return float32 (channels, H, W) tensors in [-1, 1]."""
        if channels in IMAGE_CHANNELS:
            return [pack(convert_channels(image, channels)) for image in self.images]
        return [convert_planes(pack(image), channels) for image in self.images]


def make_resize_fn(metadata: ModelMetadata) -> ResizeFn:
    """Return a function that resizes images as `cgt translate` does with the model."""

    def resize_image(image: U8) -> U8:
        geometry = plan_geometry((image.shape[0], image.shape[1]), metadata)
        resized = resize(image, geometry.image_size, metadata.filter)
        (height, width), tensor_size = geometry.image_size, geometry.tensor_size
        padding = (0, tensor_size[0] - height), (0, tensor_size[1] - width), (0, 0)
        return np.pad(resized, padding, "reflect")

    return resize_image


def sample_images(folder: Path | None, resize_fn: ResizeFn, size: tuple[int, int]) -> ImageSet:
    """Return NUM_IMAGES evenly spaced images of a folder; without any, dead leaves of `size`."""
    files = list_images(folder) if folder is not None and folder.is_dir() else []
    images = [read_image(path) for path in files[:: max(1, len(files) // NUM_IMAGES)][:NUM_IMAGES]]
    readable = tuple(resize_fn(image) for image in images if image is not None)
    if readable:
        return ImageSet(readable, f"images of {folder}")
    leaves = (dead_leaves(size, np.random.default_rng(seed)) for seed in range(NUM_IMAGES))
    return ImageSet(tuple(leaves), "synthetic images (dead leaves)")


def sample_images_of_folder(folder: Path, resize_fn: ResizeFn, size: tuple[int, int]) -> ImageSet:
    """Return NUM_IMAGES evenly spaced images of a folder; raise SourceError if it has none."""
    image_set = sample_images(folder, resize_fn, size)
    if str(folder) not in image_set.origin:
        raise SourceError(f"--eval-images {folder} has no readable image")
    return image_set


def load_calibration_images(
    source: str, count: int, seed: int, resize_fn: ResizeFn
) -> tuple[ImageSet, ImageSet]:
    """Draw images from a folder or a video.

    Args:
        source: Folder of images or video.
        count: Images to calibrate on; fewer if the source has fewer.
        seed: Seed of the random choice.
        resize_fn: Resizes each image.

    Returns:
        The calibration images and the held-out images. Those held out of a video are its last,
        because the network will translate frames that follow.

    Raises:
        SourceError: The source cannot be read.
        UsageError: Fewer than NUM_IMAGES remain to calibrate on.
    """
    if source.isdecimal():
        raise UsageError(f"--calib {source}: give a folder of images or a video")
    num_held_out = max(2, min(NUM_IMAGES, count // 4))
    path, rng = Path(source), random.Random(seed)
    if not path.exists():
        raise SourceError(f"--calib {source} is missing; give a folder of images or a video")
    if path.is_dir():
        files = list_images(path)
        drawn = rng.sample(files, min(len(files), count + num_held_out))
        images = [resize_fn(image) for image in map(read_image, drawn) if image is not None]
        if not images:
            raise SourceError(f"--calib {source} has no readable image")
    else:
        with open_source(source, audio=False) as video:
            video_images = (resize_fn(item.image) for item in video if isinstance(item, Frame))
            images = _reservoir_sample(video_images, count + num_held_out, rng)
    num_held_out = min(num_held_out, len(images) // 5 + 1)
    if len(images) - num_held_out < NUM_IMAGES:
        raise UsageError(
            f"--calib {source} has {len(images)} readable images; "
            f"give at least {NUM_IMAGES + 2}, better a hundred"
        )
    split = len(images) - num_held_out
    return (
        ImageSet(tuple(images[:split]), f"frames of {source}"),
        ImageSet(tuple(images[split:]), f"held-out frames of {source}"),
    )


def _reservoir_sample(items: Iterable[T], count: int, rng: random.Random) -> list[T]:
    """Return `count` of the items, each equally likely, in order, in one pass (Vitter 1985)."""
    kept: list[tuple[int, T]] = []
    for index, item in enumerate(items):
        if len(kept) < count:
            kept.append((index, item))
        elif (place := rng.randrange(index + 1)) < count:
            kept[place] = (index, item)
    return [item for _, item in sorted(kept, key=lambda pair: pair[0])]
