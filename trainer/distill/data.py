"""The batches of a distillation: photos, and what the teacher makes of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor

from cgt.runtime.errors import DataError
from cgt.runtime.preprocess import F32, pack

from ..data import Share, TrainingData
from ..store import ImageStore
from ..views import Draw, Preprocess
from .config import DistillConfig
from .content import has_content
from .pasting import Paste
from .photos import Photos
from .recolouring import Colours
from .targets import Targets, photo_hash

PASTED = 1 / 3  # share of the views
ZOOMED, ZOOM = 1 / 2, 2.5  # share of the views, and most that is enlarged


class DistillData(TrainingData):
    """Step -> (N,3,S,S photos, N,3,S,S answers), float32 in [-1, 1]; S is config.crop_size.

    A view is a square, cut from a photo a little larger: a teacher with InstanceNorm sees all of a
    picture everywhere, so what it answers to the square itself is asked, never a part of its answer
    to more. Each photo has config.views of them, so that the teacher's answers can be
    kept; with 0 they are new each time, and so are the answers. Every second view of a photo, of
    half of the photos the first, is in other colours (recolouring.py), and every third or so is
    partly of another photo (pasting.py); half of them are enlarged, for films are softer than
    photos, and have larger plain parts. A view without content gives way to one of the next photo:
    its gradients are as large as what the norms make of it.
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
        view, index, name = self.look(draw)
        if not self.config.views:
            return view, pack(self.targets.teacher.answer(view))
        return view, self.targets.of(self.domains[0].files[index], name, view)

    def look(self, draw: int, changed: bool = True) -> tuple[F32, int, str]:
        """A view, of which photo it is, and its name among the views of that. changed: False
        leaves all as they are. Raises DataError where all photos are blank."""
        count, views = len(self.domains[0].files), self.config.views
        first = self._place(0, draw, count)
        # The views of a photo take turns from one pass over the photos to the next.
        number = (draw // count) % views if views else draw // count
        for index in (*range(first, count), *range(first)):
            random = np.random.default_rng((self.seed, index, number))
            chosen, change = self._draw(random, changed), ""
            view = self.preprocess.view(self.image(0, index), chosen)
            if changed and random.random() < PASTED:
                paste = Paste.of(random, count, self._draw(random))
                over = self.preprocess.view(self.image(0, paste.other), paste.draw)
                view = paste.apply(view, over)
                change = f", {paste}, {photo_hash(self.domains[0].files[paste.other])}"
            if changed and (index + number) % 2:
                colours = Colours.of(random)
                view = colours.apply(view)
                change += f", {colours}"
            if has_content(view):
                return view, index, f"{self.preprocess}, {chosen}{change}"
        raise DataError(
            f"all photos in {self.domains[0].folder} are blank; there is nothing to learn"
        )

    @staticmethod
    def _draw(random: np.random.Generator, changed: bool = True) -> Draw:
        draw = Draw.of(random)
        if not changed or random.random() >= ZOOMED:
            return draw
        return replace(draw, zoom=float(np.exp(random.uniform(0, np.log(ZOOM)))))

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        pairs = [self.pair(draw) for draw in self.draws(step)]
        x, y = zip(*pairs, strict=True)
        return self._stack(list(x)), self._stack(list(y))

    def view(self, side: int, draw: int) -> F32:
        return self.pair(draw)[side]
