"""Training batches: order, augmentation and prefetching.

The batch of a step depends on (seed, step) only, never on earlier steps, so a resumed run reads the
same pixels as an uninterrupted one.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
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
    """The part of each batch that one process computes.

    Attributes:
        rank: Index of the part.
        world_size: Number of equal parts.
    """

    rank: int = 0
    world_size: int = 1


class TrainingData(ABC):
    """Training batches by step: (N,C,H,W from A, N,C,H,W from B), float32 in [-1, 1].

    Args:
        folders: Training images of A and B.
        preprocess: Resizing and cropping.
        cache: Cache of decoded images.
        batch_size: Images per batch and domain, over all processes.
        accumulate: Batches per step. A step has them one after the other along N, each with this
            process's part.
        seed: Seed of order and augmentation.
        shard: This process's part of each batch; by default everything.
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
        """Return the number of images of one domain in an epoch."""

    @abstractmethod
    def load_crop(self, side: int, sample_index: int) -> F32:
        """Return an augmented training crop.

        Args:
            side: 0 for domain A, 1 for domain B.
            sample_index: Index of the image, counted from 0 over the whole run.

        Returns:
            float32 C,H,W in [-1, 1].
        """

    def load_image(self, side: int, index: int) -> U8:
        """Return a whole image, uint8 HWC; `index` is its position in the folder of `side`."""
        folder = self.folders[side]
        return folder.convert(self.cache.get(folder.files[index]))

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Load the images of one step, counted from 0 over the whole run.

        Returns:
            Images of A and of B, N,C,H,W float32 in [-1, 1].

        Raises:
            DataError: If a file does not decode or if images of a batch differ in size.
        """
        indices = self.sample_indices(step)
        a, b = (self._stack([self.load_crop(side, index) for index in indices]) for side in (0, 1))
        return a, b

    def sample_indices(self, step: int) -> list[int]:
        """Return the indices, over the whole run, of the images that a step has in this process."""
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
        if len({crop.shape for crop in crops}) > 1:
            raise DataError(
                "images of different sizes do not fit in a batch; use --batch-size 1, or "
                "--preprocess resize-and-crop"
            )
        return torch.from_numpy(np.stack(crops))

    def batches(
        self, first_step: int, last_step: int, workers: int = 1, pin_memory: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of steps first_step to last_step - 1, in order.

        Args:
            first_step: First step.
            last_step: End of the steps, exclusive.
            workers: Prefetching threads; 0 loads in the calling thread.
            pin_memory: Whether the batches lie in pinned memory, for asynchronous copies to CUDA.
        """

        def load(step: int) -> tuple[Tensor, Tensor]:
            a, b = self.batch(step)
            return (a.pin_memory(), b.pin_memory()) if pin_memory else (a, b)

        if workers == 0:
            yield from (load(step) for step in range(first_step, last_step))
            return
        prefetch = workers + 1
        with ThreadPoolExecutor(workers, thread_name_prefix="cgt-data") as readers:
            futures = [
                readers.submit(load, step)
                for step in range(first_step, min(first_step + prefetch, last_step))
            ]
            for step in range(first_step, last_step):
                future = futures.pop(0)
                if step + prefetch < last_step:
                    futures.append(readers.submit(load, step + prefetch))
                yield future.result()

    def _shuffled_index(self, side: int, sample_index: int, count: int) -> int:
        """Return an index among `count` images; each pass over them has its own permutation."""
        epoch, position = divmod(sample_index, count)
        return int(_epoch_permutation(self.seed, side, epoch, count)[position])


def prefetch_to_device(
    batches: Iterable[tuple[Tensor, Tensor]], device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches on CUDA, each copied on a stream of its own while the GPU runs earlier steps.

    Args:
        batches: Batches in pinned memory.
        device: Device to copy to; other devices than CUDA get the batches as they are.
    """
    if device.type != "cuda":
        yield from batches
        return
    copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    for batch in batches:
        with torch.cuda.stream(copies):
            a, b = (tensor.to(device, non_blocking=True) for tensor in batch)
        steps = torch.cuda.current_stream(device)
        steps.wait_stream(copies)
        for tensor in (a, b):
            tensor.record_stream(steps)  # or its memory could be reused while a step reads it
        yield a, b


@functools.lru_cache(maxsize=8)
def _epoch_permutation(seed: int, side: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, side, epoch)).permutation(count)


class UnpairedData(TrainingData):
    """Batches of unpaired images.

    An epoch passes once over the larger domain, and the smaller one repeats. Each pass over either
    domain has its own order, so combinations of images do not repeat.
    """

    @property
    def images_per_epoch(self) -> int:
        return max(len(folder.files) for folder in self.folders)

    def load_crop(self, side: int, sample_index: int) -> F32:
        rng = np.random.default_rng((self.seed, side, 1, sample_index))
        index = self._shuffled_index(side, sample_index, len(self.folders[side].files))
        return self.preprocess.apply(self.load_image(side, index), CropParams.sample(rng))


class PairedData(TrainingData):
    """Batches of paired images; both images of a pair get the same crop and flip."""

    @property
    def images_per_epoch(self) -> int:
        return len(self.folders[0].files)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        a, b = super().batch(step)
        if a.shape[2:] != b.shape[2:]:
            raise DataError(
                "the two images of a pair have different sizes; make them equal, or use "
                "--preprocess resize-and-crop"
            )
        return a, b

    def load_crop(self, side: int, sample_index: int) -> F32:
        rng = np.random.default_rng((self.seed, 0, 1, sample_index))
        index = self._shuffled_index(0, sample_index, len(self.folders[0].files))
        return self.preprocess.apply(self.load_image(side, index), CropParams.sample(rng))
