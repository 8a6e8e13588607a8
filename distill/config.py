"""The description of a distillation: what the flags say, what the checkpoint keeps."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from cgt.runtime.errors import DataError, UsageError
from cgt.runtime.models.metadata import Direction
from cgt.trainer.config import CHANGEABLE_ON_RESUME, CHOICES, TrainConfig
from cgt.trainer.lr_schedule import LRSchedule


DISTILL_CHOICES = CHOICES | {
    "method": ("distill",),
    "best": ("none", "mse_skill"),
    "preprocess": ("shrink-short", "scale-short"),  # the second: what was begun before the first
}
_NOT_NEGATIVE = (
    *("lambda_ssim", "lambda_feature", "lambda_gan", "lambda_perceptual", "lambda_tv"),
    *("lambda_temporal", "crops_per_image", "int8_steps"),
)
_TUPLE_FIELDS = ("photos", "videos")

# How checkpoints written before 0.1.0 spell fields.
_OLD_FIELDS = {"targets": "teacher_cache", "views": "crops_per_image", "domain": "target_images"}


@dataclass(frozen=True)
class DistillConfig(TrainConfig):
    """A distillation. The student is `described`; it learns the `direction` of its teacher.

    `steps` is the length of the whole run, the last `int8_steps` of it with INT8's rounding. The
    learning rate falls over the whole run as half a cosine.
    """

    choices: ClassVar[dict[str, tuple[str, ...]]] = DISTILL_CHOICES
    changeable_on_resume: ClassVar[frozenset[str]] = CHANGEABLE_ON_RESUME | {
        "teacher",
        "videos",
        "target_images",
        "teacher_cache",
    }

    method: str = "distill"
    teacher: str = ""
    teacher_sha256: str = ""
    network: str = ""  # in that file, where it holds several
    photos: tuple[str, ...] = ()  # folders; see photos.py
    teacher_cache: str = ""  # folder of the teacher's answers
    pruned: bool = False  # whether the student begins as its teacher, see pruning.py
    crops_per_image: int = (
        2  # of each photo that the teacher answers; 0: a new one each time, none kept
    )

    lambda_ssim: float = 0.5
    lambda_feature: float = 0.0
    lambda_gan: float = 0.0
    lambda_perceptual: float = 0.0
    lambda_tv: float = 0.0
    lambda_temporal: float = 0.5

    int8_steps: int = 0

    # What it shall be measured on, and how fast it must be in the end (0: any), as what.
    videos: tuple[str, ...] = ()
    target_images: str = ""  # folder with images of what it translates to
    target_fps: float = 0.0
    for_precision: str = "fp32"
    for_engine: str = "auto"

    lr: float = 1e-3
    beta1: float = 0.9
    batch_size: int = 8
    ema: float = 0.999
    steps: int = 30000
    schedule: str = "cosine"
    preprocess: str = "shrink-short"
    load_size: int = 288
    best: str = "mse_skill"
    eval_every: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise UsageError(f"--{name.replace('_', '-')} must not be negative")
        if self.int8_steps > self.steps:
            raise UsageError("--int8-steps are a part of --steps")

    def is_int8_step(self, step: int) -> bool:
        """Whether a step is in INT8."""
        return step >= self.steps - self.int8_steps

    @property
    def inference_size(self) -> int:
        return self.crop_size

    @property
    def lr_schedule(self) -> LRSchedule:
        """Half a cosine over all steps."""
        return LRSchedule(self.schedule, 0, self.steps)

    def test_folder(self, direction: Direction) -> Path | None:
        from .data import find_photos  # which imports this module

        try:
            return find_photos([Path(folder) for folder in self.photos], direction).test_folder
        except DataError:  # they are no longer there
            return None

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {
            name: list(getattr(self, name)) for name in _TUPLE_FIELDS
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> DistillConfig:
        values = {_OLD_FIELDS.get(name, name): value for name, value in values.items()}
        if values.get("best") == "explained":
            values["best"] = "mse_skill"
        config = super().from_json(
            values | {name: tuple(values.get(name, ())) for name in _TUPLE_FIELDS}
        )
        assert isinstance(config, cls)
        return config
