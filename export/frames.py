"""Pictures to calibrate and to compare on: real ones where there are some, else ones with the
statistics of real ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from cgt.runtime.artifact import Artifact
from cgt.runtime.errors import SourceError, UsageError
from cgt.runtime.geometry import plan
from cgt.runtime.images import list_images, read_image
from cgt.runtime.preprocess import F32, U8, pack, resize
from cgt.runtime.sources import Frame, open_source
from cgt.trainer.pictures import as_channels, dead_leaves

COUNT = 8
"""Pictures to compare on, and the fewest to calibrate on."""

T = TypeVar("T")
Fit = Callable[[U8], U8]


@dataclass(frozen=True)
class Frames:
    """uint8 HWC RGB, in sizes that the network takes."""

    images: tuple[U8, ...]
    origin: str  # "images of horse2zebra/testA"

    def tensors(self, channels: int) -> list[F32]:
        """float32 channels,H,W in [-1, 1]."""
        return [as_channels(pack(image), channels) for image in self.images]


def fit_to(artifact: Artifact) -> Fit:
    """Resizes pictures as translating with the model does."""

    def fit(image: U8) -> U8:
        return resize(image, plan(image.shape[:2], artifact).tensor, artifact.filter)

    return fit


def sample_frames(folder: Path | None, fit: Fit, size: tuple[int, int]) -> Frames:
    """COUNT pictures spread evenly over a folder's images; without any, dead leaves of `size`."""
    files = list_images(folder) if folder is not None and folder.is_dir() else []
    images = [read_image(path) for path in files[:: max(1, len(files) // COUNT)][:COUNT]]
    readable = tuple(fit(image) for image in images if image is not None)
    if readable:
        return Frames(readable, f"images of {folder}")
    leaves = (dead_leaves(size, np.random.default_rng(seed)) for seed in range(COUNT))
    return Frames(tuple(leaves), "synthetic pictures (dead leaves)")


def given_frames(folder: Path, fit: Fit, size: tuple[int, int]) -> Frames:
    """COUNT pictures of a folder that was asked for. Raises SourceError where it has none."""
    frames = sample_frames(folder, fit, size)
    if str(folder) not in frames.origin:
        raise SourceError(f"--pictures {folder} has no readable image")
    return frames


def calibration_frames(source: str, count: int, seed: int, fit: Fit) -> tuple[Frames, Frames]:
    """`count` frames of a folder of images or a video to calibrate on, and some held out of it, all
    drawn by `seed`. Those held out of a video are its last: the future is what is asked of it.

    Fewer are taken where there are fewer. Raises SourceError where nothing can be read, UsageError
    where fewer than COUNT remain to calibrate on.
    """
    if source.isdecimal():
        raise UsageError(f"--calib {source}: give a folder of images or a video")
    held = max(2, min(COUNT, count // 4))
    path, chosen = Path(source), random.Random(seed)
    if not path.exists():
        raise SourceError(f"--calib {source} is missing; give a folder of images or a video")
    if path.is_dir():
        files = list_images(path)
        drawn = chosen.sample(files, min(len(files), count + held))
        images = [fit(image) for image in map(read_image, drawn) if image is not None]
        if not images:
            raise SourceError(f"--calib {source} has no readable image")
    else:
        with open_source(source, audio=False) as video:
            pictures = (fit(item.image) for item in video if isinstance(item, Frame))
            images = _reservoir(pictures, count + held, chosen)
    held = min(held, len(images) // 5 + 1)
    if len(images) - held < COUNT:
        raise UsageError(
            f"--calib {source} has {len(images)} readable pictures; "
            f"{COUNT + 2} are the least, and a hundred are good"
        )
    split = len(images) - held
    return (
        Frames(tuple(images[:split]), f"frames of {source}"),
        Frames(tuple(images[split:]), f"held-out frames of {source}"),
    )


def _reservoir(items: Iterable[T], count: int, chosen: random.Random) -> list[T]:
    """`count` of the items, each as likely as any other, in order, in one pass (Vitter 1985)."""
    kept: list[tuple[int, T]] = []
    for index, item in enumerate(items):
        if len(kept) < count:
            kept.append((index, item))
        elif (place := chosen.randrange(index + 1)) < count:
            kept[place] = (index, item)
    return [item for _, item in sorted(kept, key=lambda pair: pair[0])]
