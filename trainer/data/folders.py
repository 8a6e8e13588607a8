"""The image files of a data set.

trainA/ trainB/ testA/ testB/    two domains, unpaired or paired by file name
train/ test/                     pairs side by side in one file: A is its left half, B its right
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from cgt.runtime.errors import DataError
from cgt.runtime.image.files import list_images, read_image
from cgt.runtime.image.opencv import cv2
from cgt.runtime.image.preprocess import U8

Half = Literal["whole", "left", "right"]


@dataclass(frozen=True)
class ImageFolder:
    """One side of a data set: files sorted by name, or halves of them, and their channels."""

    folder: Path
    files: tuple[Path, ...]
    half: Half = "whole"
    channels: int = 3  # 1: grayscale

    @classmethod
    def open(cls, folder: Path, half: Half = "whole", channels: int = 3) -> ImageFolder:
        """Raises DataError when the folder is missing or has no image."""
        if not folder.is_dir():
            raise DataError(
                f"{folder} is missing; a data set has trainA/ and trainB/ (and testA/, testB/), "
                "or for pix2pix train/ with pictures side by side"
            )
        files = tuple(list_images(folder))
        if not files:
            raise DataError(f"{folder} has no image (looked for PNG, JPEG, WebP, BMP, TIFF)")
        return cls(folder, files, half, channels)

    @property
    def name(self) -> str:
        return self.folder.name if self.half == "whole" else f"{self.folder.name} ({self.half})"

    def excluding(self, excluded: frozenset[Path]) -> ImageFolder:
        """Raises DataError when nothing is left."""
        files = tuple(path for path in self.files if path not in excluded)
        if not files:
            raise DataError(f"{self.folder} has no readable image")
        return replace(self, files=files)

    def convert(self, image: U8) -> U8:
        """An RGB image of a file -> this domain's part of it, in its channels; uint8 HWC."""
        middle = image.shape[1] // 2
        if self.half != "whole":
            image = image[:, :middle] if self.half == "left" else image[:, middle : 2 * middle]
        if self.channels == 1:
            return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)[..., None]
        return image


def read_rgb(path: Path) -> U8:
    """uint8 HWC RGB of any image file. Raises DataError naming one that does not decode."""
    image = read_image(path)
    if image is None or _is_truncated_jpeg(path):
        raise DataError(
            f"{path} is not a readable image; remove or replace it, or leave such files out "
            "with --on-corrupt skip"
        )
    return image


def _is_truncated_jpeg(path: Path) -> bool:
    """A JPEG without an end: OpenCV decodes what there is and makes the rest gray."""
    with open(path, "rb") as file:
        if file.read(2) != b"\xff\xd8":
            return False
        file.seek(max(0, path.stat().st_size - 4096))
        return b"\xff\xd9" not in file.read()


def find_image_folders(
    root: Path, split: str, paired: bool, channels: tuple[int, int]
) -> tuple[ImageFolder, ImageFolder]:
    """A and B of "train" or "test". Raises DataError for what is missing, or has no partner."""
    if paired and not (root / f"{split}A").is_dir() and (root / split).is_dir():
        return (
            ImageFolder.open(root / split, "left", channels[0]),
            ImageFolder.open(root / split, "right", channels[1]),
        )
    a = ImageFolder.open(root / f"{split}A", channels=channels[0])
    b = ImageFolder.open(root / f"{split}B", channels=channels[1])
    if paired:
        _check_pairs(a, b)
    return a, b


def _pair_key(image_folder: ImageFolder, path: Path) -> Path:
    return path.relative_to(image_folder.folder).with_suffix("")


def _check_pairs(a: ImageFolder, b: ImageFolder) -> None:
    """Pairs have one name, whatever their suffixes."""
    names_a, names_b = ([_pair_key(d, path) for path in d.files] for d in (a, b))
    if names_a == names_b:
        return
    unpaired = sorted(set(names_a) ^ set(names_b)) or [
        name for name in names_a if names_a.count(name) > 1
    ]
    raise DataError(
        f"{a.folder} and {b.folder} are not pairs: {unpaired[0]} is "
        f"{'in one of them only' if set(names_a) ^ set(names_b) else 'there twice'} "
        f"({len(unpaired)} such names); pairs have the same name in both"
    )
