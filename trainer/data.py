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
from cgt.runtime.preprocess import F32, U8

from .domain import Domain
from .store import ImageStore
from .views import Draw, Preprocess


@dataclass(frozen=True)
class Share:
    """A process's part of each batch: `rank` of `world` equal ones."""

    rank: int = 0
    world: int = 1


class TrainingData(ABC):
    """The training batches of a run: step -> (N,C,H,W from A, N,C,H,W from B).

    batch_size: images of a step and domain over all processes, in `accumulate` batches one after
    the other; this process gets its share of each.
    """

    steps_per_epoch: int

    def __init__(
        self,
        domains: tuple[Domain, Domain],
        preprocess: Preprocess,
        store: ImageStore,
        *,
        batch_size: int = 1,
        accumulate: int = 1,
        seed: int = 0,
        share: Share | None = None,
    ) -> None:
        self.domains, self.preprocess, self.store = domains, preprocess, store
        self.batch_size, self.accumulate, self.seed = batch_size, accumulate, seed
        self.share = share or Share()
        self.images_per_step = batch_size * accumulate
        self.steps_per_epoch = math.ceil(self.images_per_epoch / self.images_per_step)

    @property
    @abstractmethod
    def images_per_epoch(self) -> int:
        """Of one domain."""

    @abstractmethod
    def view(self, side: int, draw: int) -> F32:
        """The draw-th image of domain 0 or 1, counted over the whole run."""

    def image(self, side: int, index: int) -> U8:
        """As it is in the file."""
        domain = self.domains[side]
        return domain.finish(self.store.get(domain.files[index]))

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The images of one step, counted from 0 over the whole run.
        Raises DataError for a file that does not decode, or images of several sizes in a batch."""
        draws = self.draws(step)
        a, b = (self._stack([self.view(side, draw) for draw in draws]) for side in (0, 1))
        return a, b

    def draws(self, step: int) -> list[int]:
        """Which images of the run, counted from 0, a step has in this process."""
        part = self.batch_size // self.share.world
        return [
            step * self.images_per_step + batch * self.batch_size + self.share.rank * part + slot
            for batch in range(self.accumulate)
            for slot in range(part)
        ]

    def _stack(self, views: list[F32]) -> Tensor:
        if len({view.shape for view in views}) > 1:
            raise DataError(
                "images of different sizes do not make a batch; use --batch-size 1, or "
                "--preprocess resize-and-crop"
            )
        return torch.from_numpy(np.stack(views))

    def batches(
        self, first_step: int, last_step: int, workers: int = 1
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches first_step..last_step-1, in order; `workers` threads read ahead."""
        if workers == 0:
            yield from (self.batch(step) for step in range(first_step, last_step))
            return
        ahead = workers + 1
        with ThreadPoolExecutor(workers, thread_name_prefix="cgt-data") as readers:
            waiting = [
                readers.submit(self.batch, step)
                for step in range(first_step, min(first_step + ahead, last_step))
            ]
            for step in range(first_step, last_step):
                ready = waiting.pop(0)
                if step + ahead < last_step:
                    waiting.append(readers.submit(self.batch, step + ahead))
                yield ready.result()

    def _place(self, side: int, draw: int, count: int) -> int:
        """Which of `count` images the draw is: each pass over them has an order of its own."""
        epoch, position = divmod(draw, count)
        return int(_order(self.seed, side, epoch, count)[position])


@functools.lru_cache(maxsize=8)
def _order(seed: int, side: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, side, epoch)).permutation(count)


class UnpairedData(TrainingData):
    """An epoch passes once over the larger domain; the smaller one repeats, each pass of either
    in an order of its own, so pairs are always new."""

    @property
    def images_per_epoch(self) -> int:
        return max(len(domain.files) for domain in self.domains)

    def view(self, side: int, draw: int) -> F32:
        random = np.random.default_rng((self.seed, side, 1, draw))
        index = self._place(side, draw, len(self.domains[side].files))
        return self.preprocess.view(self.image(side, index), Draw.of(random))


class PairedData(TrainingData):
    """Both sides of a pair are cut and mirrored alike."""

    @property
    def images_per_epoch(self) -> int:
        return len(self.domains[0].files)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        a, b = super().batch(step)
        if a.shape[2:] != b.shape[2:]:
            raise DataError(
                "the two pictures of a pair have different sizes; make them equal, or use "
                "--preprocess resize-and-crop"
            )
        return a, b

    def view(self, side: int, draw: int) -> F32:
        random = np.random.default_rng((self.seed, 0, 1, draw))
        index = self._place(0, draw, len(self.domains[0].files))
        return self.preprocess.view(self.image(side, index), Draw.of(random))
