"""What a finished student is worth, beside its teacher. All of it is measured.

How much of what the teacher changes the student changes, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cgt.runtime.errors import DataError
from cgt.runtime.image.metrics import psnr, ssim
from cgt.runtime.image.preprocess import F32, U8, pack, resize, unpack
from cgt.runtime.inference.optical_flow import WarpingErrorMeter
from cgt.runtime.sources import Frame, open_source
from cgt.runtime.utils.progress import progress_bar
from cgt.trainer.data.folders import ImageFolder
from cgt.trainer.evaluation.features import efficientnet_extractor
from cgt.trainer.evaluation.report import MIN_IMAGES, TranslateFn, feature_distances
from cgt.trainer.logs.best_checkpoint import load_eval_images, make_translate_fn
from cgt.trainer.networks.config import GeneratorConfig
from cgt.trainer.networks.macs import count_macs
from cgt.trainer.pretrained import TrainedGenerator

from .augment import is_not_blank
from .data import subsample_evenly
from .method import Distillation
from .teacher import Teacher

EvalPair = tuple[F32, F32]  # 3,H,W in [-1, 1]: a photo and the teacher's answer


def similarity_to_teacher(triplets: Iterable[tuple[U8, U8, U8]]) -> dict[str, float]:
    """Of triples (input, teacher's, student's) of uint8 HWC pictures of one size:

    mse_skill   1 - MSE(student, teacher) / MSE(input, teacher), each a mean over all pictures: 1 is
                the teacher itself, 0 what doing nothing is worth
    psnr, ssim  of the student against the teacher, means over pictures; psnr_left, ssim_left of the
                input left as it is
    """
    rows = [
        (
            _mse(student, teacher),
            _mse(image, teacher),
            psnr(student, teacher),
            ssim(student, teacher),
            psnr(image, teacher),
            ssim(image, teacher),
        )
        for image, teacher, student in triplets
    ]
    error, change, *similarity = np.mean(rows, 0).tolist()
    names = ("psnr", "ssim", "psnr_left", "ssim_left")
    return {"mse_skill": 1 - error / max(change, 1e-9)} | dict(zip(names, similarity, strict=True))


def _mse(a: U8, b: U8) -> float:
    return float(np.mean((a.astype(np.float64) - b) ** 2))


class StudentEvaluator:
    """Measures a student on held-out photos while it learns."""

    def __init__(self, eval_pairs: Sequence[EvalPair]) -> None:
        self.eval_pairs = eval_pairs

    def evaluate(self, model: Distillation) -> dict[str, float]:
        """explained, psnr and ssim of the student as it would be exported."""
        triplets = []
        with model.eval_generators() as networks:
            for x, y in self.eval_pairs:
                output = networks[model.generator_name](torch.from_numpy(x)[None].to(model.device))
                triplets.append(
                    (to_uint8(x), to_uint8(y), to_uint8(output[0].float().cpu().numpy()))
                )
        measured = similarity_to_teacher(triplets)
        return {name: measured[name] for name in ("mse_skill", "psnr", "ssim")}


def to_uint8(x: F32) -> U8:
    """float32 3,H,W in [-1, 1], in any order of axes, -> uint8 HWC."""
    return unpack(np.ascontiguousarray(x))


MAX_PHOTOS = 60  # held out, at most
CLIPS_PER_VIDEO, FRAMES_PER_CLIP = (
    12,
    3,
)  # of a video: places that are looked at, and frames one after the other at each


@dataclass(frozen=True)
class EvaluationSet:
    """What students are tried on. size: of the photos' sides, and of the videos' short ones.
    target: images of the domain they translate to."""

    size: int
    photos: ImageFolder
    videos: Sequence[Path] = ()
    target_images: ImageFolder | None = None


class OutputCollector:
    """What a teacher and its students, by name, make of the same pictures."""

    def __init__(self, teacher: TranslateFn, students: dict[str, TranslateFn]) -> None:
        self._translators = {"teacher": teacher} | students
        self.images: dict[str, list[U8]] = {name: [] for name in ("input", *self._translators)}
        self._warping_errors = {name: WarpingErrorMeter() for name in self.images}

    def add(self, image: U8) -> None:
        if not is_not_blank(pack(image)):
            return  # there is no answer that a student could learn
        outputs = {"input": image} | {name: f(image) for name, f in self._translators.items()}
        for name, output in outputs.items():
            self.images[name].append(output)
            self._warping_errors[name].update(image, output)

    def start_new_scene(self) -> None:
        """What follows is another scene."""
        for error in self._warping_errors.values():
            error.start_scene()

    def metrics_by_student(self, source_name: str) -> dict[str, Any]:
        """How many, and by student: see `explained_change`."""
        images, teachers, *_ = self.images.values()
        if not images:
            raise DataError(
                f"{source_name} cannot be measured on: all pictures looked at are blank"
            )
        return {"count": len(images)} | {
            name: similarity_to_teacher(list(zip(images, teachers, outputs, strict=True)))
            for name, outputs in self.images.items()
            if name not in ("input", "teacher")
        }

    def warping_errors(self) -> dict[str, float]:
        """Warping errors of all, the input's too."""
        return {name: error.mean for name, error in self._warping_errors.items()}


def evaluate_students(
    teacher: TranslateFn, students: dict[str, TranslateFn], evaluation_set: EvaluationSet
) -> dict[str, Any]:
    """Plain JSON types:

        {"size": 256, "photos": {"count": 60, NAME: {"mse_skill": ...}},
         "videos": {"clip.mp4": {"count": 36, NAME: {...}, "warping": {"input": ...}}},
         "frechet": {"input": ..., "teacher": ..., NAME: ...}}

    with a NAME for each of the students; distances are to the target, of EfficientNet-Lite0's
    features. Pictures without content do not count. Raises SourceError for a video that cannot be
    read, DataError where nothing counts, MissingDependency.
    """
    photos = load_eval_images(
        subsample_evenly(evaluation_set.photos, MAX_PHOTOS), evaluation_set.size, False, MAX_PHOTOS
    )
    target = (
        load_eval_images(evaluation_set.target_images, evaluation_set.size, False)
        if evaluation_set.target_images
        else []
    )
    photo_outputs = OutputCollector(teacher, students)
    total = len(photos) + CLIPS_PER_VIDEO * FRAMES_PER_CLIP * len(evaluation_set.videos)
    with progress_bar("measuring", total, unit="picture") as bar:
        for image in photos:
            photo_outputs.add(image)
            bar.advance()
        results: dict[str, Any] = {
            "size": evaluation_set.size,
            "photos": photo_outputs.metrics_by_student("the photos"),
            "videos": {},
        }
        for path in evaluation_set.videos:
            video_outputs = OutputCollector(teacher, students)
            for clip in sample_clips(path, evaluation_set.size):
                for image in clip:
                    video_outputs.add(image)
                    bar.advance()
                video_outputs.start_new_scene()
            warping = {"warping": video_outputs.warping_errors()}
            results["videos"][path.name] = video_outputs.metrics_by_student(path.name) | warping
    if min(len(target), len(photo_outputs.images["input"])) >= MIN_IMAGES:
        backbone = efficientnet_extractor()
        results["frechet"] = {
            name: feature_distances(backbone, made, target)["frechet"]
            for name, made in photo_outputs.images.items()
        }
    return results


def sample_clips(video: Path, size: int) -> Iterator[list[U8]]:
    """SPOTS times RUN frames one after the other, spread over a video, `size` on their short side.
    One that does not know its length is read twice."""
    with open_source(str(video), audio=False) as source:
        count = source.frame_count or sum(isinstance(item, Frame) for item in source)
    every = max(FRAMES_PER_CLIP, count // CLIPS_PER_VIDEO)
    with open_source(str(video), audio=False) as source:
        frames = (item for item in source if isinstance(item, Frame))
        wanted = (
            (i // every, frame) for i, frame in enumerate(frames) if i % every < FRAMES_PER_CLIP
        )
        for clip_index, group in groupby(wanted, key=lambda pair: pair[0]):
            if clip_index < CLIPS_PER_VIDEO:
                yield [_resize_short_side(frame.image, size) for _, frame in group]


def _resize_short_side(image: U8, size: int) -> U8:
    factor = size / min(image.shape[:2])
    height, width = (max(1, round(side * factor / 8)) * 8 for side in image.shape[:2])
    return resize(image, (height, width))


def model_costs(generator: TrainedGenerator, size: int) -> dict[str, Any]:
    """Parameters, and multiply-adds for a square picture."""
    config = GeneratorConfig.from_json(generator.architecture)
    return {"parameters": generator.parameters, "macs": count_macs(config, (size, size))}


def build_report(
    teacher: Teacher,
    student: TrainedGenerator,
    exported: dict[str, TranslateFn],
    evaluation_set: EvaluationSet,
) -> dict[str, Any]:
    """`report` of a student, "fp32", and of what else it has become, such as "int8"; and what
    teacher and student cost."""
    source = teacher.source
    student_translate = make_translate_fn(student.network, torch.device("cpu"), student.multiple)
    teacher_translate = make_translate_fn(teacher, teacher.precision.device, source.multiple)
    return {
        "teacher": {"name": source.path.name, "sha256": source.sha256}
        | model_costs(source, evaluation_set.size),
        "student": model_costs(student, evaluation_set.size),
    } | evaluate_students(teacher_translate, {"fp32": student_translate} | exported, evaluation_set)
