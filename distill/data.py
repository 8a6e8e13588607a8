"""Distillation data: the split of photos into training and held-out ones, and training batches."""

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

HOLD_OUT_EVERY = 20  # photos of a folder without test images; one of them is held out


@dataclass(frozen=True)
class PhotoSplit:
    """Images of the source domain: those to train on and those held out."""

    train: ImageFolder
    test: ImageFolder

    @property
    def by_folder(self) -> list[ImageFolder]:
        """Training and held-out images grouped by folder, for code that reads whole folders."""
        files = [*self.train.files, *self.test.files]
        parents = dict.fromkeys(path.parent for path in files)
        return [
            ImageFolder(folder, tuple(path for path in files if path.parent == folder))
            for folder in parents
        ]

    def excluding(self, corrupt: frozenset[Path]) -> PhotoSplit:
        """Return the split without `corrupt` files.

        Raises:
            DataError: no image is left.
        """
        return PhotoSplit(self.train.excluding(corrupt), self.test.excluding(corrupt))

    @property
    def test_folder(self) -> Path:
        """The folder of the first held-out image."""
        return self.test.files[0].parent


def subsample_evenly(photos: ImageFolder, count: int) -> ImageFolder:
    """Return at most `count` images, spread evenly over the list of files."""
    total = len(photos.files)
    count = min(count, total)
    return replace(photos, files=tuple(photos.files[i * total // count] for i in range(count)))


def find_photos(folders: Sequence[Path], direction: Direction) -> PhotoSplit:
    """Collect the images of the source domain and hold some of them out.

    A folder with trainA/, trainB/, testA/ or testB/ is a data set; the side that `direction` starts
    from is used.
    Any other folder is used as a whole, including its subfolders. If a folder is called train...,
    the images of test... next to it are held out. Otherwise every HOLD_OUT_EVERY-th image is.

    Args:
        folders: data sets or folders of images.
        direction: the teacher's direction.

    Raises:
        DataError: a folder is missing, or there are too few images.
    """
    train: list[Path] = []
    test: list[Path] = []
    for folder in folders:
        source = source_folder(folder, direction)
        files = ImageFolder.open(source).files
        test_folder = _matching_test_folder(source)
        held_out = (
            ImageFolder.open(test_folder).files
            if test_folder is not None
            else files[HOLD_OUT_EVERY - 1 :: HOLD_OUT_EVERY]
        )
        train += [path for path in files if path not in set(held_out)]
        test += held_out
    if not train or not test:
        raise DataError(f"{folders[0]} has too few images; give at least {HOLD_OUT_EVERY}")
    return PhotoSplit(ImageFolder(folders[0], tuple(train)), ImageFolder(folders[0], tuple(test)))


def source_folder(folder: Path, direction: Direction) -> Path:
    """Return the folder of the source domain's photos in a data set, or the folder itself.

    These are its training images, or else its test images.

    Raises:
        DataError: the data set has only the other domain.
    """
    side, other = ("A", "B") if direction == "AtoB" else ("B", "A")
    for split in ("train", "test"):
        if (folder / f"{split}{side}").is_dir():
            return folder / f"{split}{side}"
    for split in ("train", "test"):
        if (folder / f"{split}{other}").is_dir():
            raise DataError(
                f"{folder / f'train{side}'} is missing; {direction} translates its images, and "
                f"{split}{other} has those of the other domain"
            )
    return folder


def _matching_test_folder(folder: Path) -> Path | None:
    if not folder.name.startswith("train"):
        return None
    test = folder.with_name("test" + folder.name.removeprefix("train"))
    return test if test.is_dir() else None


CUTMIX_SHARE = 1 / 3  # share of the crops
ZOOM_SHARE, MAX_ZOOM = 1 / 2, 2.5  # share of the crops, and the largest factor


class DistillData(TrainingData):
    """Batches of photos and the teacher's outputs.

    A batch is a pair of float32 N,3,S,S tensors in [-1, 1], where S is `config.crop_size`.

    A crop is a square that is slightly smaller than its photo. The teacher translates the crop
    itself, because one with InstanceNorm depends on the whole image: a crop of its output for the
    photo is not its output for the crop.

    Each photo has `config.crops_per_image` crops, so that the teacher's outputs can be cached.
    With 0, every crop is new and nothing is cached.

    Most crops are augmented (augment.py). Every second crop of a photo has other colors; with one
    crop per photo, half of the photos do. A third of the crops is partly covered by another photo.
    Half are enlarged, because videos are softer than photos and have larger uniform areas.

    A blank crop is replaced by a crop of the next photo: its gradients are as large as the norms
    make them.
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
        """Number of training photos."""
        return len(self.folders[0].files)

    def training_pair(self, draw: int) -> tuple[F32, F32]:
        """Return the draw-th crop of the run and the teacher's output for it, 3,S,S each."""
        crop, index, name = self.augmented_crop(draw)
        if not self.config.crops_per_image:
            return crop, pack(self.teacher_cache.teacher.predict(crop))
        return crop, self.teacher_cache.get(self.folders[0].files[index], name, crop)

    def augmented_crop(self, draw: int, augment: bool = True) -> tuple[F32, int, str]:
        """Return the draw-th crop, the index of its photo and its name among the photo's crops.

        Args:
            draw: number of the crop within the run.
            augment: whether to apply augmentations; otherwise only crop and flip.

        Raises:
            DataError: all photos are blank.
        """
        count, per_photo = len(self.folders[0].files), self.config.crops_per_image
        first = self._shuffled_index(0, draw, count)
        # Each pass over the photos uses the next crop of every photo.
        number = (draw // count) % per_photo if per_photo else draw // count
        for index in (*range(first, count), *range(first)):
            random = np.random.default_rng((self.seed, index, number))
            crop = self._sample_crop(random, augment)
            name = f"{self.preprocess}, {crop.cache_name}"
            image = self.preprocess.apply(self.load_image(0, index), crop)
            if augment and random.random() < CUTMIX_SHARE:
                cutmix = CutMix.sample(random, count, self._sample_crop(random))
                pasted = self.preprocess.apply(self.load_image(0, cutmix.other_index), cutmix.crop)
                image = cutmix.apply(image, pasted)
                pasted_hash = photo_hash(self.folders[0].files[cutmix.other_index])
                name += f", {cutmix.cache_name}, {pasted_hash}"
            if augment and (index + number) % 2:
                jitter = ColorJitter.sample(random)
                image = jitter.apply(image)
                name += f", {jitter.cache_name}"
            if is_not_blank(image):
                return image, index, name
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
        """Return the photos and teacher outputs of one step."""
        pairs = [self.training_pair(draw) for draw in self.sample_indices(step)]
        x, y = zip(*pairs, strict=True)
        return self._stack(list(x)), self._stack(list(y))

    def load_crop(self, side: int, sample_index: int) -> F32:
        """Return a crop (side 0) or the teacher's output for it (side 1)."""
        return self.training_pair(sample_index)[side]
