"""Evaluation of a student relative to its teacher: MSE skill score, PSNR, SSIM, warping error.

The MSE skill score (`mse_skill`) compares a student with the identity function:
1 - MSE(student, teacher) / MSE(input, teacher). It is 1 for the teacher itself and 0 for a student
that returns its input.
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
from cgt.trainer.pretrained import TrainedGenerator

from .augment import is_not_blank
from .data import subsample_evenly
from .method import Distillation
from .teacher import Teacher

EvalPair = tuple[F32, F32]  # 3,H,W in [-1, 1]: a photo and the teacher's output


def similarity_to_teacher(triplets: Iterable[tuple[U8, U8, U8]]) -> dict[str, float]:
    """Compare a student's outputs with its teacher's.

    Args:
        triplets: (input, teacher output, student output), uint8 H,W,3 images of one size.

    Returns:
        `mse_skill` from the mean squared errors over all images, `psnr` (dB) and `ssim` of the
        student's outputs, and `psnr_left` and `ssim_left` of the unchanged inputs. PSNR and SSIM
        are means over the images.
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
    """Evaluates a student on held-out photos during training.

    Args:
        eval_pairs: photos and the teacher's outputs for them.
    """

    def __init__(self, eval_pairs: Sequence[EvalPair]) -> None:
        self.eval_pairs = eval_pairs

    def evaluate(self, model: Distillation) -> dict[str, float]:
        """Return mse_skill, psnr (dB) and ssim of the student as it would be exported."""
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
    """Convert a float32 3,H,W image in [-1, 1] with any strides to uint8 H,W,3."""
    return unpack(np.ascontiguousarray(x))


MAX_PHOTOS = 60  # held-out photos of the final evaluation
CLIPS_PER_VIDEO, FRAMES_PER_CLIP = 12, 3  # evenly spaced clips of consecutive frames


@dataclass(frozen=True)
class EvaluationSet:
    """Images and videos for the final evaluation.

    Attributes:
        size: side of the photos and short side of the videos, in pixels.
        photos: held-out photos.
        videos: videos that students are not trained on.
        target_images: images of the target domain, for the Frechet distance.
    """

    size: int
    photos: ImageFolder
    videos: Sequence[Path] = ()
    target_images: ImageFolder | None = None


class OutputCollector:
    """Collects the outputs of a teacher and its students for the same images.

    Args:
        teacher: function that translates a uint8 H,W,3 image.
        students: the same, by name.
    """

    def __init__(self, teacher: TranslateFn, students: dict[str, TranslateFn]) -> None:
        self._translators = {"teacher": teacher} | students
        self.images: dict[str, list[U8]] = {name: [] for name in ("input", *self._translators)}
        self._warping_errors = {name: WarpingErrorMeter() for name in self.images}

    def add(self, image: U8) -> None:
        """Translate an image by all networks; skip a blank one."""
        if not is_not_blank(pack(image)):
            return  # the teacher's output for a blank image is arbitrary
        outputs = {"input": image} | {name: f(image) for name, f in self._translators.items()}
        for name, output in outputs.items():
            self.images[name].append(output)
            self._warping_errors[name].update(image, output)

    def start_new_scene(self) -> None:
        """Do not compare the next image with the previous one."""
        for error in self._warping_errors.values():
            error.start_scene()

    def metrics_by_student(self, source_name: str) -> dict[str, Any]:
        """Return the number of images, and `similarity_to_teacher` of each student.

        Raises:
            DataError: all images of `source_name` were blank.
        """
        images, teachers, *_ = self.images.values()
        if not images:
            raise DataError(
                f"{source_name} cannot be used for evaluation: all sampled images are blank"
            )
        return {"count": len(images)} | {
            name: similarity_to_teacher(list(zip(images, teachers, outputs, strict=True)))
            for name, outputs in self.images.items()
            if name not in ("input", "teacher")
        }

    def warping_errors(self) -> dict[str, float]:
        """Return the mean warping error of the input, the teacher and each student."""
        return {name: error.mean for name, error in self._warping_errors.items()}


def evaluate_students(
    teacher: TranslateFn, students: dict[str, TranslateFn], evaluation_set: EvaluationSet
) -> dict[str, Any]:
    """Evaluate students on photos and videos.

    Blank images are skipped.

    Args:
        teacher: function that translates a uint8 H,W,3 image.
        students: the same, by NAME.
        evaluation_set: images and videos to translate.

    Returns:
        Plain JSON types. Frechet distances are those of EfficientNet-Lite0 features to the images
        of the target domain::

            {"size": 256, "photos": {"count": 60, NAME: {"mse_skill": ...}},
             "videos": {"clip.mp4": {"count": 36, NAME: {...}, "warping": {"input": ...}}},
             "frechet": {"input": ..., "teacher": ..., NAME: ...}}

    Raises:
        SourceError: a video cannot be read.
        DataError: all images are blank.
        MissingDependency: the Frechet distance needs an extra that is not installed.
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
    with progress_bar("evaluating", total, unit="image") as bar:
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
            name: feature_distances(backbone, outputs, target)["frechet"]
            for name, outputs in photo_outputs.images.items()
        }
    return results


def sample_clips(video: Path, size: int) -> Iterator[list[U8]]:
    """Yield CLIPS_PER_VIDEO evenly spaced clips of FRAMES_PER_CLIP consecutive frames.

    A video without a frame count is read twice.

    Args:
        video: the file.
        size: short side of the frames, in pixels.
    """
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
    scale = size / min(image.shape[:2])
    height, width = (max(1, round(side * scale / 8)) * 8 for side in image.shape[:2])
    return resize(image, (height, width))


def model_costs(generator: TrainedGenerator, size: int) -> dict[str, Any]:
    """Return the number of parameters, and of multiply-adds for an image of `size` squared."""
    return {"parameters": generator.parameters, "macs": generator.count_macs((size, size))}


def build_report(
    teacher: Teacher,
    student: TrainedGenerator,
    exported: dict[str, TranslateFn],
    evaluation_set: EvaluationSet,
) -> dict[str, Any]:
    """Evaluate a student and its exported models.

    Args:
        teacher: the teacher.
        student: the student, evaluated as "fp32".
        exported: functions of its exported models by name, such as "int8".
        evaluation_set: images and videos to translate.

    Returns:
        What `evaluate_students` returns, with "teacher" and "student": their parameters and
        multiply-adds.
    """
    source = teacher.source
    student_translate = make_translate_fn(student.network, torch.device("cpu"), student.multiple)
    teacher_translate = make_translate_fn(teacher, teacher.precision.device, source.multiple)
    return {
        "teacher": {"name": source.path.name, "sha256": source.sha256}
        | model_costs(source, evaluation_set.size),
        "student": model_costs(student, evaluation_set.size),
    } | evaluate_students(teacher_translate, {"fp32": student_translate} | exported, evaluation_set)
