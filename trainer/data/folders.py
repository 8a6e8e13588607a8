"""Image folders of a data set, unpaired or paired.

trainA/ trainB/ testA/ testB/    two domains, unpaired or paired by file name
train/ test/                     pairs side by side in one file: A is the left half, B the right
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from cgt.runtime.errors import DataError, UsageError
from cgt.runtime.image.channels import convert_channels
from cgt.runtime.image.files import (
    FORMATS_TEXT,
    list_images,
    read_image,
    warn_of_unread_images,
)
from cgt.runtime.image.preprocess import U8
from cgt.runtime.utils.overwrite import is_inside

Half = Literal["whole", "left", "right"]
IMAGE_FOLDER_NAMES = ("trainA", "trainB", "testA", "testB", "train", "test")
"""All folders of a data set that images are read from."""


@dataclass(frozen=True)
class ImageFolder:
    """Images of one domain.

    Attributes:
        folder: The folder.
        files: Its image files, sorted by name, including those in subfolders.
        half: Part of each image that belongs to the domain: "whole", "left" or "right".
        channels: Channels of the images: 1 (gray), 3 (RGB) or 4 (with an opaque alpha).
    """

    folder: Path
    files: tuple[Path, ...]
    half: Half = "whole"
    channels: int = 3

    @classmethod
    def open(cls, folder: Path, half: Half = "whole", channels: int = 3) -> ImageFolder:
        """List the images of a folder.

        Raises:
            DataError: If the folder is missing or has no image.
        """
        if not folder.is_dir():
            raise DataError(
                f"{folder} is missing; a data set has trainA/ and trainB/ (and testA/, testB/), "
                "or for pix2pix train/ with images side by side"
            )
        files = tuple(list_images(folder))
        warn_of_unread_images(folder)
        if not files:
            raise DataError(f"{folder} has no image (supported: {FORMATS_TEXT})")
        return cls(folder, files, half, channels)

    @property
    def name(self) -> str:
        """Return the name of the folder, and the half of its images, for messages."""
        return self.folder.name if self.half == "whole" else f"{self.folder.name} ({self.half})"

    def excluding(self, excluded: frozenset[Path]) -> ImageFolder:
        """Return the folder without some files. Raises DataError if none remains."""
        files = tuple(path for path in self.files if path not in excluded)
        if not files:
            raise DataError(f"{self.folder} has no readable image")
        return replace(self, files=files)

    def convert(self, image: U8) -> U8:
        """Return this domain's part of a decoded file.

        Args:
            image: The file's image, uint8 HWC RGB.

        Returns:
            uint8 HWC with `channels` channels.
        """
        middle = image.shape[1] // 2
        if self.half != "whole":
            image = image[:, :middle] if self.half == "left" else image[:, middle : 2 * middle]
        return convert_channels(image, self.channels)


def read_rgb(path: Path) -> U8:
    """Decode an image file to uint8 HWC RGB. Raises DataError if it does not decode."""
    image = read_image(path)
    if image is None or _is_truncated_jpeg(path):
        raise DataError(
            f"{path} is not a readable image; remove or replace it, or skip such files with "
            "--on-corrupt skip"
        )
    return image


def _is_truncated_jpeg(path: Path) -> bool:
    """Return whether a JPEG has no end marker; OpenCV would fill the missing part with gray."""
    with open(path, "rb") as file:
        if file.read(2) != b"\xff\xd8":
            return False
        file.seek(max(0, path.stat().st_size - 4096))
        return b"\xff\xd9" not in file.read()


def find_image_folders(
    root: Path, split: str, paired: bool, channels: tuple[int, int]
) -> tuple[ImageFolder, ImageFolder]:
    """Find the folders of A and B.

    Args:
        root: The data set.
        split: "train" or "test".
        paired: Whether images of A and B form pairs.
        channels: Channels of A and B.

    Raises:
        DataError: If folders or images are missing, or if images of a pair have no partner.
    """
    a, b = find_available_folders(root, split, paired, channels)
    # Opening a missing folder raises an error that names it.
    a = a or ImageFolder.open(root / f"{split}A", channels=channels[0])
    b = b or ImageFolder.open(root / f"{split}B", channels=channels[1])
    return a, b


def find_available_folders(
    root: Path, split: str, paired: bool, channels: tuple[int, int]
) -> tuple[ImageFolder | None, ImageFolder | None]:
    """Find the folders of A and B like `find_image_folders`, with None for one that is missing.

    Raises:
        DataError: If a folder has no images, or if images of a pair have no partner.
    """
    if paired and not (root / f"{split}A").is_dir() and (root / split).is_dir():
        return (
            ImageFolder.open(root / split, "left", channels[0]),
            ImageFolder.open(root / split, "right", channels[1]),
        )
    a, b = (
        ImageFolder.open(folder, channels=count) if folder.is_dir() else None
        for folder, count in zip((root / f"{split}A", root / f"{split}B"), channels, strict=True)
    )
    if paired and a is not None and b is not None:
        _check_pairs(a, b)
    return a, b


def refuse_run_among_images(run: Path, folders: Sequence[Path]) -> None:
    """Raise UsageError if the images of a run would become images of its data set."""
    for folder in folders:
        if is_inside(run / "samples", folder):
            raise UsageError(f"{run} would lie among the images of {folder}; give another --output")


def _pair_key(image_folder: ImageFolder, path: Path) -> Path:
    return path.relative_to(image_folder.folder).with_suffix("")


def _check_pairs(a: ImageFolder, b: ImageFolder) -> None:
    """Check that the files of A and B have the same names, apart from their suffixes."""
    names_a, names_b = ([_pair_key(d, path) for path in d.files] for d in (a, b))
    if names_a == names_b:
        return
    unpaired = sorted(set(names_a) ^ set(names_b)) or [
        name for name in names_a if names_a.count(name) > 1
    ]
    raise DataError(
        f"{a.folder} and {b.folder} are not pairs: {unpaired[0]} is "
        f"{'in only one of them' if set(names_a) ^ set(names_b) else 'a duplicate'} "
        f"({len(unpaired)} such names); give both images of a pair the same name"
    )
