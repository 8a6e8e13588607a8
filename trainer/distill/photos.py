"""Which photos a student learns from, and which are held out to measure it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cgt.runtime.artifact import Direction
from cgt.runtime.errors import DataError

from ..domain import Domain

ONE_IN = 20  # photos of a folder without test images that are held out


@dataclass(frozen=True)
class Photos:
    """Images of the source domain."""

    train: Domain
    test: Domain

    @property
    def folders(self) -> list[Domain]:
        """The images of each folder, for what looks at folders one by one."""
        files = [*self.train.files, *self.test.files]
        parents = dict.fromkeys(path.parent for path in files)
        return [
            Domain(folder, tuple(path for path in files if path.parent == folder))
            for folder in parents
        ]

    def without(self, broken: frozenset[Path]) -> Photos:
        """Raises DataError when nothing is left."""
        return Photos(self.train.without(broken), self.test.without(broken))

    @property
    def shown(self) -> Path:
        """A folder of test images."""
        return self.test.files[0].parent


def spread(photos: Domain, count: int) -> Domain:
    """At most so many, from all of its folders alike."""
    total = len(photos.files)
    count = min(count, total)
    return replace(photos, files=tuple(photos.files[i * total // count] for i in range(count)))


def find_photos(folders: Sequence[Path], direction: Direction) -> Photos:
    """A folder with trainA/ or trainB/ is a data set, of which the side that `direction` begins at
    is taken. Any other is taken as it is, with the folders in it; if it is called train..., the
    images of test... beside it are held out, else every ONE_IN-th of its own.

    Raises DataError for folders that are missing or have no image.
    """
    train: list[Path] = []
    test: list[Path] = []
    for folder in folders:
        side = folder / ("trainA" if direction == "AtoB" else "trainB")
        found = Domain.open(side if side.is_dir() else folder).files
        beside = _beside(side if side.is_dir() else folder)
        held = Domain.open(beside).files if beside is not None else found[ONE_IN - 1 :: ONE_IN]
        train += [path for path in found if path not in set(held)]
        test += held
    if not train or not test:
        raise DataError(f"{folders[0]} has too few images; {ONE_IN} are the least")
    return Photos(Domain(folders[0], tuple(train)), Domain(folders[0], tuple(test)))


def _beside(folder: Path) -> Path | None:
    """The folder of the test images of a folder of training images."""
    if not folder.name.startswith("train"):
        return None
    test = folder.with_name("test" + folder.name.removeprefix("train"))
    return test if test.is_dir() else None
