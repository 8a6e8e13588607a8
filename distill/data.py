"""The batches of a distillation: photos, and what the teacher makes of them.

Which photos a student learns from, and which are held out to measure it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from cgt.runtime.errors import DataError
from cgt.runtime.image.preprocess import F32, pack
from cgt.runtime.models.metadata import Direction
from cgt.trainer.data.folders import ImageFolder
from cgt.trainer.data.image_cache import ImageCache
from cgt.trainer.data.loader import Shard, TrainingData
from cgt.trainer.data.transforms import CropParams, Preprocess

from .augment import ColorJitter, CutMix, is_not_blank
from .teacher import TeacherCache, photo_hash

if TYPE_CHECKING:
    from .config import DistillConfig

HOLD_OUT_EVERY = 20  # photos of a folder without test images that are held out


@dataclass(frozen=True)
class PhotoSplit:
    """Images of the source domain."""

    train: ImageFolder
    test: ImageFolder

    @property
    def by_folder(self) -> list[ImageFolder]:
        """The images of each folder, for what looks at folders one by one."""
        files = [*self.train.files, *self.test.files]
        parents = dict.fromkeys(path.parent for path in files)
        return [
            ImageFolder(folder, tuple(path for path in files if path.parent == folder))
            for folder in parents
        ]

    def excluding(self, corrupt: frozenset[Path]) -> PhotoSplit:
        """Raises DataError when nothing is left."""
        return PhotoSplit(self.train.excluding(corrupt), self.test.excluding(corrupt))

    @property
    def test_folder(self) -> Path:
        """A folder of test images."""
        return self.test.files[0].parent


def subsample_evenly(photos: ImageFolder, count: int) -> ImageFolder:
    """At most so many, from all of its folders alike."""
    total = len(photos.files)
    count = min(count, total)
    return replace(photos, files=tuple(photos.files[i * total // count] for i in range(count)))


def find_photos(folders: Sequence[Path], direction: Direction) -> PhotoSplit:
    """A folder with trainA/ or trainB/ is a data set, of which the side that `direction` begins at
    is taken. Any other is taken as it is, with the folders in it; if it is called train..., the
    images of test... beside it are held out, else every ONE_IN-th of its own.

    Raises DataError for folders that are missing or have no image.
    """
    train: list[Path] = []
    test: list[Path] = []
    for folder in folders:
        side = folder / ("trainA" if direction == "AtoB" else "trainB")
        found = ImageFolder.open(side if side.is_dir() else folder).files
        test_folder = _matching_test_folder(side if side.is_dir() else folder)
        held_out = (
            ImageFolder.open(test_folder).files
            if test_folder is not None
            else found[HOLD_OUT_EVERY - 1 :: HOLD_OUT_EVERY]
        )
        train += [path for path in found if path not in set(held_out)]
        test += held_out
    if not train or not test:
        raise DataError(f"{folders[0]} has too few images; {HOLD_OUT_EVERY} are the least")
    return PhotoSplit(ImageFolder(folders[0], tuple(train)), ImageFolder(folders[0], tuple(test)))


def _matching_test_folder(folder: Path) -> Path | None:
    """The folder of the test images of a folder of training images."""
    if not folder.name.startswith("train"):
        return None
    test = folder.with_name("test" + folder.name.removeprefix("train"))
    return test if test.is_dir() else None


CUTMIX_SHARE = 1 / 3  # share of the views
ZOOM_SHARE, MAX_ZOOM = 1 / 2, 2.5  # share of the views, and most that is enlarged


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
        photos: PhotoSplit,
        teacher_cache: TeacherCache,
        cache: ImageCache,
        shard: Shard | None = None,
    ) -> None:
        self.config, self.teacher_cache = config, teacher_cache
        super().__init__(
            (photos.train, photos.train),
            Preprocess(config.preprocess, config.load_size, config.crop_size, config.flip),
            cache,
            batch_size=config.batch_size,
            accumulate=config.accumulate,
            seed=config.seed,
            shard=shard,
        )

    @property
    def images_per_epoch(self) -> int:
        return len(self.folders[0].files)

    def training_pair(self, draw: int) -> tuple[F32, F32]:
        """The draw-th view of the run, and its answer: 3,S,S each."""
        view, index, name = self.augmented_crop(draw)
        if not self.config.crops_per_image:
            return view, pack(self.teacher_cache.teacher.predict(view))
        return view, self.teacher_cache.get(self.folders[0].files[index], name, view)

    def augmented_crop(self, draw: int, augment: bool = True) -> tuple[F32, int, str]:
        """A view, of which photo it is, and its name among the views of that. changed: False
        leaves all as they are. Raises DataError where all photos are blank."""
        count, views = len(self.folders[0].files), self.config.crops_per_image
        first = self._shuffled_index(0, draw, count)
        # The views of a photo take turns from one pass over the photos to the next.
        number = (draw // count) % views if views else draw // count
        for index in (*range(first, count), *range(first)):
            random = np.random.default_rng((self.seed, index, number))
            crop, augmentations = self._sample_crop(random, augment), ""
            view = self.preprocess.apply(self.load_image(0, index), crop)
            if augment and random.random() < CUTMIX_SHARE:
                cutmix = CutMix.sample(random, count, self._sample_crop(random))
                pasted = self.preprocess.apply(self.load_image(0, cutmix.other_index), cutmix.crop)
                view = cutmix.apply(view, pasted)
                augmentations = (
                    f", {cutmix}, {photo_hash(self.folders[0].files[cutmix.other_index])}"
                )
            if augment and (index + number) % 2:
                jitter = ColorJitter.sample(random)
                view = jitter.apply(view)
                augmentations += f", {jitter}"
            if is_not_blank(view):
                return view, index, f"{self.preprocess}, {crop}{augmentations}"
        raise DataError(
            f"all photos in {self.folders[0].folder} are blank; there is nothing to learn"
        )

    @staticmethod
    def _sample_crop(random: np.random.Generator, augment: bool = True) -> CropParams:
        crop = CropParams.sample(random)
        if not augment or random.random() >= ZOOM_SHARE:
            return crop
        return replace(crop, zoom=float(np.exp(random.uniform(0, np.log(MAX_ZOOM)))))

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        pairs = [self.training_pair(draw) for draw in self.sample_indices(step)]
        x, y = zip(*pairs, strict=True)
        return self._stack(list(x)), self._stack(list(y))

    def load_crop(self, side: int, sample_index: int) -> F32:
        return self.training_pair(sample_index)[side]
