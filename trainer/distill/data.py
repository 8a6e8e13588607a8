"""The batches of a distillation: photos, and what the teacher makes of them."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from cgt.runtime.preprocess import F32, pack

from ..data import Share, TrainingData
from ..store import ImageStore
from ..views import Draw, Preprocess
from .config import DistillConfig
from .photos import Photos
from .targets import Targets


class DistillData(TrainingData):
    """Step -> (N,3,S,S photos, N,3,S,S answers), float32 in [-1, 1]; S is config.crop_size.

    A view is a square, cut from a photo a little larger: a teacher with InstanceNorm sees all of a
    picture everywhere, so what it answers to the square itself is asked, never a part of its answer
    to more. Each photo has config.views of them, so that the teacher's answers can be
    kept; with 0 they are new each time, and so are the answers.
    """

    def __init__(
        self,
        config: DistillConfig,
        photos: Photos,
        targets: Targets,
        store: ImageStore,
        share: Share | None = None,
    ) -> None:
        self.config, self.targets = config, targets
        super().__init__(
            (photos.train, photos.train),
            Preprocess(config.preprocess, config.load_size, config.crop_size, config.flip),
            store,
            batch_size=config.batch_size,
            accumulate=config.accumulate,
            seed=config.seed,
            share=share,
        )

    @property
    def images_per_epoch(self) -> int:
        return len(self.domains[0].files)

    def pair(self, draw: int) -> tuple[F32, F32]:
        """The draw-th view of the run, and its answer: 3,S,S each."""
        files = self.domains[0].files
        index, views = self._place(0, draw, len(files)), self.config.views
        # The views of a photo take turns from one pass over the photos to the next.
        number = (draw // len(files)) % views if views else draw
        chosen = Draw.of(np.random.default_rng((self.seed, index, number)))
        view = self.preprocess.view(self.image(0, index), chosen)
        if not views:
            return view, pack(self.targets.teacher.answer(view))
        name = f"{self.preprocess.crop_size} of {self.preprocess.load_size}, {chosen}"
        return view, self.targets.of(files[index], name, view)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        pairs = [self.pair(draw) for draw in self.draws(step)]
        x, y = zip(*pairs, strict=True)
        return self._stack(list(x)), self._stack(list(y))

    def view(self, side: int, draw: int) -> F32:
        return self.pair(draw)[side]
