"""The batches of a run.

What a step sees depends on (seed, step) alone, never on what was drawn before it: a run that
stops and resumes reads the same pixels as one that did not.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cgt.runtime.errors import DataError
from cgt.runtime.image.preprocess import F32, U8

from .folders import ImageFolder
from .image_cache import ImageCache
from .transforms import CropParams, Preprocess


@dataclass(frozen=True)
class Shard:
    """A process's part of each batch: `rank` of `world` equal ones."""

    rank: int = 0
    world_size: int = 1


class TrainingData(ABC):
    """The training batches of a run: step -> (N,C,H,W from A, N,C,H,W from B).

    batch_size: images of a step and domain over all processes, in `accumulate` batches one after
    the other; this process gets its share of each.
    """

    steps_per_epoch: int

    def __init__(
        self,
        folders: tuple[ImageFolder, ImageFolder],
        preprocess: Preprocess,
        cache: ImageCache,
        *,
        batch_size: int = 1,
        accumulate: int = 1,
        seed: int = 0,
        shard: Shard | None = None,
    ) -> None:
        self.folders, self.preprocess, self.cache = folders, preprocess, cache
        self.batch_size, self.accumulate, self.seed = batch_size, accumulate, seed
        self.shard = shard or Shard()
        self.images_per_step = batch_size * accumulate
        self.steps_per_epoch = math.ceil(self.images_per_epoch / self.images_per_step)

    @property
    @abstractmethod
    def images_per_epoch(self) -> int:
        """Of one domain."""

    @abstractmethod
    def load_crop(self, side: int, sample_index: int) -> F32:
        """The draw-th image of domain 0 or 1, counted over the whole run."""

    def load_image(self, side: int, index: int) -> U8:
        """As it is in the file."""
        domain = self.folders[side]
        return domain.convert(self.cache.get(domain.files[index]))

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The images of one step, counted from 0 over the whole run.
        Raises DataError for a file that does not decode, or images of several sizes in a batch."""
        indices = self.sample_indices(step)
        a, b = (self._stack([self.load_crop(side, draw) for draw in indices]) for side in (0, 1))
        return a, b

    def sample_indices(self, step: int) -> list[int]:
        """Which images of the run, counted from 0, a step has in this process."""
        shard_size = self.batch_size // self.shard.world_size
        return [
            step * self.images_per_step
            + batch * self.batch_size
            + self.shard.rank * shard_size
            + slot
            for batch in range(self.accumulate)
            for slot in range(shard_size)
        ]

    def _stack(self, crops: list[F32]) -> Tensor:
        if len({view.shape for view in crops}) > 1:
            raise DataError(
                "images of different sizes do not make a batch; use --batch-size 1, or "
                "--preprocess resize-and-crop"
            )
        return torch.from_numpy(np.stack(crops))

    def batches(
        self, first_step: int, last_step: int, workers: int = 1
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches first_step..last_step-1, in order; `workers` threads read ahead."""
        if workers == 0:
            yield from (self.batch(step) for step in range(first_step, last_step))
            return
        prefetch = workers + 1
        with ThreadPoolExecutor(workers, thread_name_prefix="cgt-data") as readers:
            futures = [
                readers.submit(self.batch, step)
                for step in range(first_step, min(first_step + prefetch, last_step))
            ]
            for step in range(first_step, last_step):
                future = futures.pop(0)
                if step + prefetch < last_step:
                    futures.append(readers.submit(self.batch, step + prefetch))
                yield future.result()

    def _shuffled_index(self, side: int, sample_index: int, count: int) -> int:
        """Which of `count` images the draw is: each pass over them has an order of its own."""
        epoch, position = divmod(sample_index, count)
        return int(_epoch_permutation(self.seed, side, epoch, count)[position])


@functools.lru_cache(maxsize=8)
def _epoch_permutation(seed: int, side: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, side, epoch)).permutation(count)


class UnpairedData(TrainingData):
    """An epoch passes once over the larger domain; the smaller one repeats, each pass of either
    in an order of its own, so pairs are always new."""

    @property
    def images_per_epoch(self) -> int:
        return max(len(domain.files) for domain in self.folders)

    def load_crop(self, side: int, sample_index: int) -> F32:
        rng = np.random.default_rng((self.seed, side, 1, sample_index))
        index = self._shuffled_index(side, sample_index, len(self.folders[side].files))
        return self.preprocess.apply(self.load_image(side, index), CropParams.sample(rng))


class PairedData(TrainingData):
    """Both sides of a pair are cut and mirrored alike."""

    @property
    def images_per_epoch(self) -> int:
        return len(self.folders[0].files)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        a, b = super().batch(step)
        if a.shape[2:] != b.shape[2:]:
            raise DataError(
                "the two pictures of a pair have different sizes; make them equal, or use "
                "--preprocess resize-and-crop"
            )
        return a, b

    def load_crop(self, side: int, sample_index: int) -> F32:
        rng = np.random.default_rng((self.seed, 0, 1, sample_index))
        index = self._shuffled_index(0, sample_index, len(self.folders[0].files))
        return self.preprocess.apply(self.load_image(side, index), CropParams.sample(rng))
