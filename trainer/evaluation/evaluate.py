"""`cgt eval`: all figures of a subject on a data set, and pictures of them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from cgt.runtime.artifact import Direction
from cgt.runtime.errors import DataError, UsageError
from cgt.runtime.files import whole_file
from cgt.runtime.images import encode_image
from cgt.runtime.montage import montage
from cgt.runtime.preprocess import U8, resize
from cgt.runtime.progress import progress_bar
from cgt.runtime.sources import Frame, open_source
from cgt.runtime.warping import WarpingError

from ..backbone import SIDES
from ..domain import Domain, find_domains
from ..selection import pictures_of
from .features import Backbone, efficientnet_features, inception_features
from .report import Pictures, Translate, measure
from .subject import Subject

ROWS = 8  # of the montage, per direction
MULTIPLE = 32  # of a video's sides

Say = Callable[[str], None]
Rows = list[list[U8]]


def evaluate(
    subject: Subject,
    data: Path | None = None,
    *,
    images: int | None = None,
    imagenet_class: int | None = None,
    inception: Path | None = None,
    video: Path | None = None,
    frames: int = 100,
    say: Say = lambda line: None,
) -> tuple[dict[str, Any], dict[str, Rows]]:
    """A report in plain JSON types, and rows of pictures by direction.

    data: by default what the checkpoint was trained on. images: at most so many of each folder.
    inception: weights of FID's Inception, by default where torch-fidelity keeps them.
    video: its first `frames` frames give the warping error of the first direction.
    Raises DataError for what is missing, MissingDependency without the EfficientNets.
    """
    root = data or subject.data
    if root is None:
        raise UsageError("give --data, a folder with testA/ and testB/")
    backbones = _backbones(inception, say)
    tests = find_domains(root, "test", subject.paired, subject.channels)
    try:
        training: tuple[Domain, Domain] | None = find_domains(
            root, "train", subject.paired, subject.channels
        )
    except DataError:
        training = None
        say(f"{root} has no training images: no distance of real images to real ones")
    most = images or max(len(domain.files) for domain in tests)
    sets = [pictures_of(domain, subject.size, subject.square, most) for domain in tests]
    other = [
        pictures_of(domain, subject.size, subject.square, len(real))
        for domain, real in zip(training or (), sets, strict=False)
    ] or [[], []]
    report: dict[str, Any] = {
        "subject": subject.name,
        "data": str(root),
        "size": subject.size,
        "directions": {},
    }
    rows: dict[str, Rows] = {}
    ways = {name: make((subject.size,) * 2) for name, make in subject.translators.items()}
    with progress_bar("translating", None, unit="image") as bar:

        def counted(translate: Translate | None) -> Translate | None:
            if translate is None:
                return None

            def call(image: U8) -> U8:
                bar.advance()
                return translate(image)

            return call

        for direction in subject.measured:
            x, y = (0, 1) if direction == "AtoB" else (1, 0)
            back: Direction = "BtoA" if direction == "AtoB" else "AtoB"
            forth = counted(ways[direction])
            assert forth is not None
            values, rows[direction] = measure(
                Pictures(sets[x], sets[y], other[y]),
                forth,
                counted(ways.get(back)),
                backbones,
                paired=subject.paired,
                imagenet_class=imagenet_class,
            )
            names = {"from": subject.domains[x], "to": subject.domains[y]}
            report["directions"][direction] = names | values
    if video is not None:
        report["video"] = steadiness(subject, subject.measured[0], video, frames)
    return report, rows


def _backbones(inception: Path | None, say: Say) -> list[Backbone]:
    if inception is not None and not inception.is_file():
        raise UsageError(f"--inception {inception} is missing")
    found = inception_features(inception)
    if found is None:
        say(
            "no distances with Inception features: install the extra [inception], and give its "
            "weights with --inception or let torch-fidelity download them"
        )
    return [*map(efficientnet_features, SIDES), *([found] if found else [])]


def steadiness(subject: Subject, direction: Direction, video: Path, frames: int) -> dict[str, Any]:
    """The warping error of a translated video, and of the video itself, at the subject's size on
    the short side."""
    ours, itself = WarpingError(), WarpingError()
    count = 0
    translate: Translate | None = None
    with open_source(str(video), audio=False) as source:
        pictures = (item.image for item in source if isinstance(item, Frame))
        for picture in islice(pictures, frames):
            by = subject.size / min(picture.shape[:2])
            height, width = (max(1, round(s * by / MULTIPLE)) * MULTIPLE for s in picture.shape[:2])
            image = resize(picture, (height, width))
            translate = translate or subject.translators[direction]((height, width))
            ours.add(image, translate(image))
            itself.add(image, image)
            count += 1
    return {
        "file": str(video),
        "direction": direction,
        "frames": count,
        "error": ours.mean,
        "input": itself.mean,
    }


def save_montage(rows: dict[str, Rows], path: Path) -> None:
    """Spread over the test images: source, translation, way back; or the partner, of pairs."""
    some = [row for each in rows.values() for row in each[:: max(1, len(each) // ROWS)][:ROWS]]
    data = encode_image(montage(some), path.suffix)
    if data is None:
        raise UsageError(f"--montage {path} must end in .png")
    with whole_file(path) as temporary:
        temporary.write_bytes(data)
