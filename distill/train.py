"""Distillation run in a folder: create, train, resume, and save the student as a checkpoint.

RUN/latest.pth, metrics.csv, samples/   as in any run (trainer/train.py); a sample is the photo, the
                                        teacher's output and the student's output
RUN/targets/                            cached teacher outputs, unless --teacher-cache is given
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from cgt.runtime.errors import CheckpointError, UsageError
from cgt.runtime.models.checkpoint_options import CheckpointOptions
from cgt.runtime.models.metadata import Direction
from cgt.runtime.utils.progress import progress_bar
from cgt.trainer.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from cgt.trainer.config import TrainConfig
from cgt.trainer.data.dataset import Dataset
from cgt.trainer.data.folders import ImageFolder, read_rgb
from cgt.trainer.data.image_cache import ImageCache
from cgt.trainer.data.loader import Shard
from cgt.trainer.data.transforms import center_square
from cgt.trainer.data.validate import validate_images
from cgt.trainer.logs.best_checkpoint import Evaluator
from cgt.trainer.logs.samples import MAX_SAMPLE_ROWS, SampleGrid
from cgt.trainer.methods.base import Method
from cgt.trainer.networks import ResnetGenerator
from cgt.trainer.precision import Precision
from cgt.trainer.pretrained import TrainedGenerator, generator_from_checkpoint
from cgt.trainer.train import TrainingRun

from .config import DistillConfig
from .data import DistillData, find_photos, subsample_evenly
from .method import Distillation
from .pruning.prune import count_convolutions, prune
from .report import EvalPair, StudentEvaluator
from .teacher import Teacher, TeacherCache

MAX_EVAL_PHOTOS = 24  # held-out photos of the evaluation during training
MAX_PRUNING_PHOTOS, MIN_PRUNING_PHOTOS = 32, 8  # at up to 256 pixels; at any size


class DistillRun(TrainingRun):
    """A run of `cgt distill`, which resumes exactly."""

    command: ClassVar[str] = "cgt distill"
    config_class: ClassVar[type[TrainConfig]] = DistillConfig
    config: DistillConfig
    model: Distillation

    def _open_dataset(self, shard: Shard) -> Dataset:
        config = self.config
        direction: Direction = "AtoB" if config.direction == "AtoB" else "BtoA"
        self.teacher = open_teacher(config, direction, self.precision)
        self.domains = self.teacher.source.domains
        photos = find_photos([Path(folder) for folder in config.photos], direction)
        image_cache = ImageCache(config.cache_mb)
        dataset_report = validate_images(photos.by_folder, image_cache, config.num_workers())
        summary_lines = tuple(dataset_report.summary_lines())
        for line in summary_lines:
            self._echo(line)
        photos = photos.excluding(dataset_report.files_to_skip(config.on_corrupt))
        self.teacher_cache = TeacherCache(
            Path(config.teacher_cache or self.folder / "targets"), self.teacher, image_cache
        )
        data = DistillData(config, photos, self.teacher_cache, image_cache, shard)
        self.photos = photos
        self.eval_pairs = self._load_eval_pairs(photos.test)
        return Dataset(data, (photos.test, photos.test), summary_lines)

    def _load_eval_pairs(self, test: ImageFolder) -> list[EvalPair]:
        """Translate center crops of held-out photos, evenly sampled, by the teacher."""
        files = subsample_evenly(test, MAX_EVAL_PHOTOS).files
        size, eval_pairs = self.config.crop_size, []
        with progress_bar("running the teacher", len(files), unit="photo") as bar:
            for path in files:
                crop = center_square(test.convert(read_rgb(path)), size)[0]
                # The name is part of the keys of cached outputs: it must not change.
                eval_pairs.append((crop, self.teacher_cache.get(path, f"{size}, middle", crop)))
                bar.advance()
        return eval_pairs

    def _build_samples(self) -> SampleGrid:
        stride = max(1, len(self.eval_pairs) // MAX_SAMPLE_ROWS)
        tensors = [tuple(torch.from_numpy(t)[None] for t in pair) for pair in self.eval_pairs]
        return SampleGrid([(x, y) for x, y in tensors[::stride][:MAX_SAMPLE_ROWS]])

    def _build_method(self) -> Method:
        context, autocast = self.distributed, self.precision.autocast_dtype
        return Distillation(self.teacher, self.config, context.device, autocast, context)

    def _build_evaluator(self) -> Evaluator | None:
        return StudentEvaluator(self.eval_pairs)

    def _init_new_run(self) -> None:
        """Initialize a pruned student; every process uses the weights of the first one."""
        config, name = self.config, self.model.generator_name
        if not config.pruned:
            return
        weights = self._prune_teacher().state_dict()
        for key, value in weights.items():
            weights[key] = self.distributed.gather(value[None].to(self.distributed.device))[0]
        self.model.networks[name].load_state_dict(weights)
        if name in self.model.ema_generators:
            self.model.ema_generators[name].module.load_state_dict(weights)
        mse_skill = StudentEvaluator(self.eval_pairs).evaluate(self.model)["mse_skill"]
        self._echo(f"pruned from its teacher, before training: mse_skill {mse_skill:.3f}")

    def _prune_teacher(self) -> ResnetGenerator:
        """Prune on the CPU in float32, whatever the device of the run."""
        config, data = self.config, self.data.train
        assert isinstance(data, DistillData)
        teacher = copy.deepcopy(self.teacher.network).cpu()
        assert isinstance(teacher, ResnetGenerator)
        student = config.generator_config
        # The number of pixels, and so the memory, does not depend on the size.
        count = min(
            data.images_per_epoch,
            max(MIN_PRUNING_PHOTOS, MAX_PRUNING_PHOTOS * 256**2 // config.crop_size**2),
            MAX_PRUNING_PHOTOS,
        )
        crops = (
            np.ascontiguousarray(data.augmented_crop(draw, augment=False)[0])
            for draw in range(count)
        )
        photos = [torch.from_numpy(crop)[None] for crop in crops]
        with progress_bar("pruning", count_convolutions(student), unit="convolution") as bar:
            return prune(teacher, student, photos, bar.advance)

    def summarize(self) -> str:
        """Return one line about teacher, student, data, steps and device."""
        config, source = self.config, self.teacher.source
        student = config.generator_config
        return (
            (f"{self.init_summary}; " if self.init_summary else "")
            + f"teacher {source.path.name} ({source.summary}); student {student.kind}, "
            f"ngf {student.ngf}, {student.norm_kind} norm{', pruned' if config.pruned else ''}; "
            f"{len(self.data.train.folders[0].files)} photos, steps {self.step} to "
            f"{self.total_steps}, {self.model.device.type}, {self.precision.name}"
        )


def open_teacher(config: DistillConfig, direction: Direction, precision: Precision) -> Teacher:
    """Open the teacher that a configuration names.

    Raises:
        CheckpointError: the file is missing or not usable.
        UsageError: the file is not the teacher that the run started with.
    """
    path = Path(config.teacher)
    if not path.is_file():
        raise CheckpointError(f"the teacher {path} is missing; give its new path with --ckpt")
    if config.teacher_code and not config.code:
        raise UsageError(
            "the teacher was built by another project's code; give --code and its options again, "
            f"which execute it ({config.teacher_code.partition(' ')[0]})"
        )
    options = CheckpointOptions(**config.teacher_reading, **config.code)
    teacher = Teacher.open(path, direction, precision, config.network or None, options)
    if teacher.source.code_id != config.teacher_code:
        raise UsageError("--code is not the code, with its arguments, that the run started with")
    if teacher.source.sha256 != config.teacher_sha256:
        raise UsageError(f"{path} is not the teacher that the run started with")
    return teacher


def save_student(run_folder: Path, output: Path, report: dict[str, Any]) -> TrainedGenerator:
    """Write the student of RUN/latest.pth as a checkpoint without the training state.

    Args:
        run_folder: the run.
        output: file to write.
        report: evaluation results, stored in the checkpoint.

    Returns:
        The student as `open_generator` would return it.

    Raises:
        CheckpointError: the run has no usable checkpoint.
        OSError: the file cannot be written.
    """
    checkpoint = load_checkpoint(run_folder / "latest.pth")
    state = _inference_state(checkpoint, report)
    save_checkpoint(output, checkpoint.config, checkpoint.domains, checkpoint.step, state)
    return generator_from_checkpoint(load_checkpoint(output))


def load_student(run_folder: Path) -> TrainedGenerator:
    """Load the student of RUN/latest.pth.

    Raises:
        CheckpointError: the run has no usable checkpoint.
    """
    return generator_from_checkpoint(load_checkpoint(run_folder / "latest.pth"))


def _inference_state(checkpoint: Checkpoint, report: dict[str, Any]) -> dict[str, Any]:
    direction = checkpoint.config.directions[0]
    name = "G_A" if direction == "AtoB" else "G_B"
    no_training_state: dict[str, Any] = {
        "optimizers": {},
        "averages": {},
        "pools": {},
        "unlogged": [],
    }
    networks = {name: checkpoint.load_generator(direction).state_dict()}
    return no_training_state | {"networks": networks, "report": report}
