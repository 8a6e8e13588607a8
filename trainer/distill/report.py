"""What a finished student is worth, beside its teacher. All of it is measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from cgt.runtime.errors import DataError
from cgt.runtime.preprocess import U8, pack, resize
from cgt.runtime.progress import progress_bar
from cgt.runtime.sources import Frame, open_source
from cgt.runtime.warping import WarpingError

from ..config import GeneratorConfig
from ..domain import Domain
from ..evaluation.features import efficientnet_features
from ..evaluation.report import LEAST, Translate, distances
from ..generator import TrainedGenerator
from ..macs import count_macs
from ..selection import network_translate, pictures_of
from .content import has_content
from .explained import explained_change
from .photos import spread
from .teacher import Teacher

PHOTOS = 60  # held out, at most
SPOTS, RUN = 12, 3  # of a video: places that are looked at, and frames one after the other at each


@dataclass(frozen=True)
class Trial:
    """What students are tried on. size: of the photos' sides, and of the videos' short ones.
    target: images of the domain they translate to."""

    size: int
    photos: Domain
    videos: Sequence[Path] = ()
    target: Domain | None = None


class Answers:
    """What a teacher and its students, by name, make of the same pictures."""

    def __init__(self, teacher: Translate, students: dict[str, Translate]) -> None:
        self._translators = {"teacher": teacher} | students
        self.images: dict[str, list[U8]] = {name: [] for name in ("input", *self._translators)}
        self._errors = {name: WarpingError() for name in self.images}

    def add(self, image: U8) -> None:
        if not has_content(pack(image)):
            return  # there is no answer that a student could learn
        made = {"input": image} | {name: f(image) for name, f in self._translators.items()}
        for name, picture in made.items():
            self.images[name].append(picture)
            self._errors[name].add(image, picture)

    def cut(self) -> None:
        """What follows is another scene."""
        for error in self._errors.values():
            error.cut()

    def compared(self, what: str) -> dict[str, Any]:
        """How many, and by student: see `explained_change`."""
        images, teachers, *_ = self.images.values()
        if not images:
            raise DataError(f"{what} cannot be measured on: all pictures looked at are blank")
        return {"count": len(images)} | {
            name: explained_change(list(zip(images, teachers, made, strict=True)))
            for name, made in self.images.items()
            if name not in ("input", "teacher")
        }

    def warping(self) -> dict[str, float]:
        """Warping errors of all, the input's too."""
        return {name: error.mean for name, error in self._errors.items()}


def report(teacher: Translate, students: dict[str, Translate], trial: Trial) -> dict[str, Any]:
    """Plain JSON types:

        {"size": 256, "photos": {"count": 60, NAME: {"explained": ...}},
         "videos": {"clip.mp4": {"count": 36, NAME: {...}, "warping": {"input": ...}}},
         "frechet": {"input": ..., "teacher": ..., NAME: ...}}

    with a NAME for each of the students; distances are to the target, of EfficientNet-Lite0's
    features. Pictures without content do not count. Raises SourceError for a video that cannot be
    read, DataError where nothing counts, MissingDependency.
    """
    photos = pictures_of(spread(trial.photos, PHOTOS), trial.size, False, PHOTOS)
    target = pictures_of(trial.target, trial.size, False) if trial.target else []
    answers = Answers(teacher, students)
    total = len(photos) + SPOTS * RUN * len(trial.videos)
    with progress_bar("measuring", total, unit="picture") as bar:
        for image in photos:
            answers.add(image)
            bar.advance()
        found: dict[str, Any] = {
            "size": trial.size,
            "photos": answers.compared("the photos"),
            "videos": {},
        }
        for path in trial.videos:
            seen = Answers(teacher, students)
            for spot in neighbours(path, trial.size):
                for image in spot:
                    seen.add(image)
                    bar.advance()
                seen.cut()
            warping = {"warping": seen.warping()}
            found["videos"][path.name] = seen.compared(path.name) | warping
    if min(len(target), len(answers.images["input"])) >= LEAST:
        backbone = efficientnet_features()
        found["frechet"] = {
            name: distances(backbone, made, target)["frechet"]
            for name, made in answers.images.items()
        }
    return found


def neighbours(video: Path, size: int) -> Iterator[list[U8]]:
    """SPOTS times RUN frames one after the other, spread over a video, `size` on their short side.
    One that does not know its length is read twice."""
    with open_source(str(video), audio=False) as source:
        count = source.count or sum(isinstance(item, Frame) for item in source)
    every = max(RUN, count // SPOTS)
    with open_source(str(video), audio=False) as source:
        frames = (item for item in source if isinstance(item, Frame))
        wanted = ((i // every, frame) for i, frame in enumerate(frames) if i % every < RUN)
        for spot, group in groupby(wanted, key=lambda pair: pair[0]):
            if spot < SPOTS:
                yield [_fit(frame.image, size) for _, frame in group]


def _fit(image: U8, size: int) -> U8:
    by = size / min(image.shape[:2])
    height, width = (max(1, round(side * by / 8)) * 8 for side in image.shape[:2])
    return resize(image, (height, width))


def costs(generator: TrainedGenerator, size: int) -> dict[str, Any]:
    """Parameters, and multiply-adds for a square picture."""
    config = GeneratorConfig.from_json(generator.architecture)
    return {"parameters": generator.parameters, "macs": count_macs(config, (size, size))}


def compare(
    teacher: Teacher, student: TrainedGenerator, others: dict[str, Translate], trial: Trial
) -> dict[str, Any]:
    """`report` of a student, "fp32", and of what else it has become, such as "int8"; and what
    teacher and student cost."""
    source = teacher.source
    own = network_translate(student.network, torch.device("cpu"), student.multiple)
    answer = network_translate(teacher, teacher.precision.device, source.multiple)
    return {
        "teacher": {"name": source.path.name, "sha256": source.sha256} | costs(source, trial.size),
        "student": costs(student, trial.size),
    } | report(answer, {"fp32": own} | others, trial)
