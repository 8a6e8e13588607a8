"""Which photos a student learns from, and which are held out to measure it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cgt.runtime.artifact import Direction
from cgt.runtime.errors import DataError

from ..domain import ImageFolder

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
