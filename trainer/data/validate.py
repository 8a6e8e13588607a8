"""Data set validation: image sizes, corrupt files and duplicates."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from cgt.runtime.errors import DataError
from cgt.runtime.image.geometry import format_size
from cgt.runtime.utils.progress import progress_bar

from .folders import ImageFolder, read_rgb
from .image_cache import ImageCache

MAX_LISTED_FILES = 3  # in one message
ScaleSize = Callable[[int, int], tuple[int, int]]


@dataclass
class DatasetReport:
    """Result of the validation of a data set.

    Attributes:
        sizes: Number of images of each (height, width), by folder.
        corrupt: Files that do not decode.
        files_by_digest: Files by the hash of their pixels.
        file_sizes: (height, width) of each file that decodes.
    """

    sizes: dict[Path, Counter[tuple[int, int]]] = field(default_factory=dict)
    corrupt: list[Path] = field(default_factory=list)
    files_by_digest: dict[bytes, list[Path]] = field(default_factory=dict)
    file_sizes: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def summary_lines(self) -> list[str]:
        """Return a line for each folder, and one for each problem."""
        lines = []
        for folder, sizes in self.sizes.items():
            common_size, common_count = sizes.most_common(1)[0]
            total = sizes.total()
            rest = f", {total - common_count} of other sizes" if total > common_count else ""
            lines.append(
                f"{folder}: {total} images, {common_count} of {format_size(common_size)}{rest}"
            )
        if self.corrupt:
            lines.append(
                f"files that do not decode: {len(self.corrupt)} ({_list_first(self.corrupt)})"
            )
        duplicates = [
            files for files in self.files_by_digest.values() if len({f.parent for f in files}) > 1
        ]
        if duplicates:
            pairs = [" = ".join(f"{f.parent.name}/{f.name}" for f in files) for files in duplicates]
            lines.append(
                f"images that are in several folders: {len(duplicates)} ({_list_first(pairs)})"
            )
        return lines

    def files_to_skip(self, on_corrupt: str) -> frozenset[Path]:
        """Return the files to skip.

        Args:
            on_corrupt: "fail" or "skip".

        Raises:
            DataError: If there are corrupt files and `on_corrupt` is "fail".
        """
        if self.corrupt and on_corrupt == "fail":
            raise DataError(
                f"{self.corrupt[0]} is not a readable image ({len(self.corrupt)} such files); "
                "remove or replace them, or skip them with --on-corrupt skip"
            )
        return frozenset(self.corrupt)

    def check_pair_sizes(self, pair: tuple[ImageFolder, ImageFolder], scale: ScaleSize) -> None:
        """Check that the images of each pair have one size, so that their crops correspond.

        Args:
            pair: Folders of A and B, without corrupt files.
            scale: Returns the (height, width) to which an image of a height and width is resized.

        Raises:
            DataError: Sizes of a pair differ.
        """
        bad = []
        for files in zip(pair[0].files, pair[1].files, strict=True):
            sizes = [self.file_sizes[path] for path in files]
            if scale(*sizes[0]) != scale(*sizes[1]):
                name = files[0].relative_to(pair[0].folder)
                bad.append(f"{name} ({format_size(sizes[0])} and {format_size(sizes[1])})")
        if bad:
            raise DataError(
                f"the two images of a pair have different sizes in {len(bad)} of "
                f"{len(pair[0].files)} pairs: {_list_first(bad)}; make them equal, or use "
                "--preprocess resize-and-crop"
            )


def _list_first(items: Sequence[object]) -> str:
    rest = len(items) - MAX_LISTED_FILES
    return ", ".join(map(str, items[:MAX_LISTED_FILES])) + (f" and {rest} more" if rest > 0 else "")


def validate_images(
    image_folders: Sequence[ImageFolder], cache: ImageCache, workers: int
) -> DatasetReport:
    """Decode every file once.

    Args:
        image_folders: The folders.
        cache: Cache that keeps decoded images as far as they fit.
        workers: Number of threads, at least 1.
    """
    report = DatasetReport()
    files = list(dict.fromkeys(path for f in image_folders for path in f.files))
    folder = {path: f.folder for f in image_folders for path in f.files}

    def decode_and_hash(path: Path) -> tuple[Path, tuple[int, int] | None, bytes]:
        try:
            image = cache.add(path, read_rgb(path))
        except DataError:
            return path, None, b""
        digest = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
        return path, (image.shape[0], image.shape[1]), digest

    with (
        ThreadPoolExecutor(max(1, workers)) as pool,
        progress_bar("validating images", len(files), unit="image") as bar,
    ):
        for path, size, digest in pool.map(decode_and_hash, files):
            bar.advance()
            if size is None:
                report.corrupt.append(path)
                continue
            report.file_sizes[path] = size
            report.sizes.setdefault(folder[path], Counter())[size] += 1
            report.files_by_digest.setdefault(digest, []).append(path)
    return report
