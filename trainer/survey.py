"""What a data set holds, looked at before the first step."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from cgt.runtime.errors import DataError
from cgt.runtime.progress import progress_bar

from .domain import Domain, read
from .store import ImageStore

NAMED = 3  # files that a message names


@dataclass
class Survey:
    """Sizes, broken files, and which files hold the same picture."""

    sizes: dict[Path, Counter[tuple[int, int]]] = field(default_factory=dict)  # folder: (h, w)
    broken: list[Path] = field(default_factory=list)
    same: dict[bytes, list[Path]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """For people: a line for each folder, and one for each thing to worry about."""
        lines = []
        for folder, sizes in self.sizes.items():
            (height, width), most = sizes.most_common(1)[0]
            total = sizes.total()
            rest = f", {total - most} of other sizes" if total > most else ""
            lines.append(f"{folder}: {total} images, {most} of {width}x{height}{rest}")
        if self.broken:
            lines.append(f"files that do not decode: {len(self.broken)} ({_some(self.broken)})")
        twice = [files for files in self.same.values() if len({f.parent for f in files}) > 1]
        if twice:
            pairs = [" = ".join(f"{f.parent.name}/{f.name}" for f in files) for files in twice]
            lines.append(f"pictures that are in several folders: {len(twice)} ({_some(pairs)})")
        return lines

    def unreadable(self, broken: str) -> frozenset[Path]:
        """Files to leave out. broken: "fail" raises DataError where there are any."""
        if self.broken and broken == "fail":
            raise DataError(
                f"{self.broken[0]} is not a readable image, and {len(self.broken) - 1} more are "
                "not; remove or replace them, or leave them out with --broken skip"
            )
        return frozenset(self.broken)


def _some(items: Sequence[object]) -> str:
    rest = len(items) - NAMED
    return ", ".join(map(str, items[:NAMED])) + (f" and {rest} more" if rest > 0 else "")


def survey(domains: Sequence[Domain], store: ImageStore, workers: int) -> Survey:
    """Decode every file once; what fits stays in the store."""
    found = Survey()
    files = list(dict.fromkeys(path for domain in domains for path in domain.files))
    folder = {path: domain.folder for domain in domains for path in domain.files}

    def look(path: Path) -> tuple[Path, tuple[int, int] | None, bytes]:
        try:
            image = store.add(path, read(path))
        except DataError:
            return path, None, b""
        digest = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
        return path, (image.shape[0], image.shape[1]), digest

    with (
        ThreadPoolExecutor(max(1, workers)) as pool,
        progress_bar("looking at the images", len(files), unit="image") as bar,
    ):
        for path, size, digest in pool.map(look, files):
            bar.advance()
            if size is None:
                found.broken.append(path)
                continue
            found.sizes.setdefault(folder[path], Counter())[size] += 1
            found.same.setdefault(digest, []).append(path)
    return found
