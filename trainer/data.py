"""Unpaired images: `trainA/ trainB/ testA/ testB` under one folder.

What a step sees depends on (seed, step) alone, never on what was drawn before it: a run that
stops and resumes reads the same pixels as one that did not.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cgt.runtime.errors import DataError
from cgt.runtime.images import list_images, read_image
from cgt.runtime.preprocess import F32, pack, resize


@dataclass(frozen=True)
class Domain:
    """The image files of one side of a data set, sorted by name."""

    name: str
    files: tuple[Path, ...]

    @classmethod
    def open(cls, folder: Path) -> Domain:
        """Raises DataError when the folder is missing or has no image."""
        if not folder.is_dir():
            raise DataError(
                f"{folder} is missing; a data set has trainA/ and trainB/ (and testA/, testB/)"
            )
        files = tuple(list_images(folder))
        if not files:
            raise DataError(f"{folder} has no image (looked for PNG, JPEG, WebP, BMP, TIFF)")
        return cls(folder.name, files)


def augment(path: Path, load_size: int, crop_size: int, random: np.random.Generator) -> F32:
    """One training view: load_size squared, a random crop_size crop of it, flipped half the time.

    Returns float32 CHW RGB in [-1, 1]. Raises DataError when the file does not decode.
    """
    image = resize(_read(path), (load_size, load_size))
    y, x = random.integers(0, load_size - crop_size, size=2, endpoint=True)
    crop = image[y : y + crop_size, x : x + crop_size]
    tensor = pack(crop)
    return tensor[:, :, ::-1] if random.random() < 0.5 else tensor


def load_image(path: Path, size: int) -> Tensor:
    """1,3,size,size float32 RGB in [-1, 1]: a test image as the runtime would prepare it."""
    return torch.from_numpy(pack(_read(path), (size, size)))[None]


def _read(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    image = read_image(path)
    if image is None:
        raise DataError(f"{path} is not a readable image; remove or replace it")
    return image


class UnpairedData:
    """The training pairs of a run: step -> (N,3,S,S from A, N,3,S,S from B).

    An epoch passes once over the larger domain; the smaller one repeats, each pass of either
    in an order of its own, so pairs are always new.
    """

    def __init__(
        self,
        root: Path,
        *,
        load_size: int,
        crop_size: int,
        batch_size: int,
        seed: int,
    ) -> None:
        self.domains = (Domain.open(root / "trainA"), Domain.open(root / "trainB"))
        self.load_size, self.crop_size = load_size, crop_size
        self.batch_size, self.seed = batch_size, seed
        largest = max(len(domain.files) for domain in self.domains)
        self.steps_per_epoch = -(-largest // batch_size)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The images of one step, counted from 0 over the whole run."""
        a, b = (
            torch.from_numpy(np.stack([self._view(side, step, i) for i in range(self.batch_size)]))
            for side in (0, 1)
        )
        return a, b

    def _view(self, side: int, step: int, slot: int) -> F32:
        files = self.domains[side].files
        draw = step * self.batch_size + slot
        epoch, position = divmod(draw, len(files))
        order = np.random.default_rng((self.seed, side, epoch)).permutation(len(files))
        random = np.random.default_rng((self.seed, side, 1, draw))
        return augment(files[order[position]], self.load_size, self.crop_size, random)

    def batches(self, first_step: int, last_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches first_step..last_step-1; the next ones are read while a step computes."""
        with ThreadPoolExecutor(1, thread_name_prefix="cgt-data") as reader:
            ahead = [
                reader.submit(self.batch, step)
                for step in range(first_step, min(first_step + 2, last_step))
            ]
            for step in range(first_step, last_step):
                ready = ahead.pop(0)
                if step + 2 < last_step:
                    ahead.append(reader.submit(self.batch, step + 2))
                yield ready.result()
