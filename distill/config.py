"""Distillation settings: fields of the flags and of the stored checkpoint."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from cgt.runtime.errors import DataError, UsageError
from cgt.runtime.models.checkpoint_options import CODE_FIELDS, CheckpointOptions
from cgt.runtime.models.metadata import Direction
from cgt.trainer.config import CHANGEABLE_ON_RESUME, CHOICES, TrainConfig
from cgt.trainer.lr_schedule import LRSchedule

DISTILL_CHOICES = CHOICES | {
    "method": ("distill",),
    "best": ("none", "mse_skill"),
    "preprocess": ("shrink-short", "scale-short"),  # "scale-short": older runs only
}
_NOT_NEGATIVE = (
    *("lambda_ssim", "lambda_feature", "lambda_gan", "lambda_perceptual", "lambda_tv"),
    *("lambda_temporal", "crops_per_image", "int8_steps"),
)
_TUPLE_FIELDS = ("photos", "videos")

# Fields and values as spelled by checkpoints from before version 0.1.0 -> as spelled now.
_OLD_FIELDS = {"targets": "teacher_cache", "views": "crops_per_image", "domain": "target_images"}


def teacher_settings(options: CheckpointOptions) -> dict[str, Any]:
    """Return what the user states about a teacher, as fields of DistillConfig."""
    given = options.given
    code = {name: given.pop(name) for name in CODE_FIELDS if name in given}
    settings = {"teacher_reading": given, "code": code}
    return {name: values for name, values in settings.items() if values}


@dataclass(frozen=True)
class DistillConfig(TrainConfig):
    """Settings of a distillation; the base class has those shared with `cgt train`.

    `generator_json` describes the student, which learns the `direction` of its teacher. The run has
    `steps` steps, of which the last `int8_steps` simulate INT8 rounding. The learning rate follows
    half a cosine over the whole run.

    Attributes:
        teacher: path of the teacher's checkpoint.
        teacher_sha256: hash of that file; resuming with another teacher is an error.
        network: generator within the teacher's file, where it contains several.
        teacher_reading: what the user states about a teacher of another trainer, as fields of
            CheckpointOptions.
        teacher_code: `TrainedGenerator.code_id` of a teacher that another project's code builds.
        code: that code, as fields of CheckpointOptions. It is not stored: resuming executes it only
            if it is given again.
        photos: folders of training photos, see `data.find_photos`.
        teacher_cache: folder of cached teacher outputs; empty for RUN/targets.
        pruned: whether the student is initialized from its teacher, see pruning/.
        crops_per_image: crops of each photo whose teacher outputs are cached; 0 for a new crop at
            every step, without a cache.
        lambda_ssim: weight of 1 - SSIM between student and teacher; L1 has weight 1.
        lambda_feature: weight of the distance to the features of the teacher's encoder.
        lambda_gan: weight of the adversarial loss.
        lambda_perceptual: weight of the distance of EfficientNet-Lite0 features.
        lambda_tv: weight of the total variation of the output.
        lambda_temporal: weight of the consistency under a small motion of the input.
        int8_steps: number of final steps with simulated INT8 rounding.
        videos: videos for the final evaluation; not trained on.
        target_images: folder of images of the target domain, for the Frechet distance.
        target_fps: end-to-end frame rate that the student must reach; 0 for none.
        for_precision: precision in which the student will be deployed.
        for_engine: engine on which the student will be deployed.
    """

    choices: ClassVar[dict[str, tuple[str, ...]]] = DISTILL_CHOICES
    changeable_on_resume: ClassVar[frozenset[str]] = CHANGEABLE_ON_RESUME | {
        "teacher",
        "code",
        "teacher_reading",
        "photos",
        "videos",
        "target_images",
        "teacher_cache",
    }

    method: str = "distill"
    teacher: str = ""
    teacher_sha256: str = ""
    network: str = ""
    teacher_reading: dict[str, Any] = field(default_factory=dict)
    teacher_code: str = ""
    code: dict[str, Any] = field(default_factory=dict)
    photos: tuple[str, ...] = ()
    teacher_cache: str = ""
    pruned: bool = False
    crops_per_image: int = 2

    lambda_ssim: float = 0.5
    lambda_feature: float = 0.0
    lambda_gan: float = 0.0
    lambda_perceptual: float = 0.0
    lambda_tv: float = 0.0
    lambda_temporal: float = 0.5

    int8_steps: int = 0

    videos: tuple[str, ...] = ()
    target_images: str = ""
    target_fps: float = 0.0
    for_precision: str = "fp32"
    for_engine: str = "auto"

    lr: float = 1e-3
    beta1: float = 0.9
    batch_size: int = 8
    workers: int | None = 1  # each of them runs the teacher
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
            raise UsageError("--int8-steps must not exceed --steps")

    def is_int8_step(self, step: int) -> bool:
        """Return whether a step simulates INT8 rounding."""
        return step >= self.steps - self.int8_steps

    @property
    def inference_size(self) -> int:
        """Side in pixels of the images that the student is trained on."""
        return self.crop_size

    @property
    def lr_schedule(self) -> LRSchedule:
        """Learning rate over the run: half a cosine."""
        return LRSchedule(self.schedule, 0, self.steps)

    def test_folder(self, direction: Direction) -> Path | None:
        """Return a folder of held-out photos; None if the photos are gone."""
        from .data import find_photos  # data.py imports this module

        try:
            return find_photos([Path(folder) for folder in self.photos], direction).test_folder
        except DataError:
            return None

    def to_json(self) -> dict[str, Any]:
        """Return all fields as plain JSON types."""
        values = dataclasses.asdict(self) | {
            name: list(getattr(self, name)) for name in _TUPLE_FIELDS
        }
        del values["code"]
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> DistillConfig:
        """Read what `to_json` returned, including that from before version 0.1.0.

        Raises:
            CheckpointError: a field is unknown.
        """
        values = {_OLD_FIELDS.get(name, name): value for name, value in values.items()}
        if values.get("best") == "explained":
            values["best"] = "mse_skill"
        config = super().from_json(
            values | {name: tuple(values.get(name, ())) for name in _TUPLE_FIELDS}
        )
        assert isinstance(config, cls)
        return config
