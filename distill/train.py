"""A finished student as a file: its generator, and what was measured of it.

A distillation in a folder.

RUN/latest.pth, metrics.csv, samples/   as of any run (../train.py); a sample is photo, teacher's
                                        answer, student's
RUN/targets/                            the teacher's answers, unless they are kept elsewhere
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from cgt.runtime.errors import CheckpointError, UsageError
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

MAX_EVAL_PHOTOS = 24  # held-out photos that it is measured on as it goes
MAX_PRUNING_PHOTOS, MIN_PRUNING_PHOTOS = (
    32,
    8,
)  # photos that a pruned student is solved on: of 256 pixels; of any size


class DistillRun(TrainingRun):
    """Resumes exactly, as any run does."""

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
        store = ImageCache(config.cache_mb)
        found = validate_images(photos.by_folder, store, config.workers)
        for line in found.summary_lines():
            self._echo(line)
        photos = photos.excluding(found.files_to_skip(config.on_corrupt))
        self.teacher_cache = TeacherCache(
            Path(config.teacher_cache or self.folder / "targets"), self.teacher, store
        )
        data = DistillData(config, photos, self.teacher_cache, store, shard)
        self.photos = photos
        self.eval_pairs = self._load_eval_pairs(photos.test)
        return Dataset(data, (photos.test, photos.test), tuple(found.summary_lines()))

    def _load_eval_pairs(self, test: ImageFolder) -> list[EvalPair]:
        """Spread over the held-out photos: their middle, and what the teacher makes of it."""
        files = subsample_evenly(test, MAX_EVAL_PHOTOS).files
        size, eval_pairs = self.config.crop_size, []
        with progress_bar("asking the teacher", len(files), unit="photo") as bar:
            for path in files:
                view = center_square(test.convert(read_rgb(path)), size)[0]
                eval_pairs.append((view, self.teacher_cache.get(path, f"{size}, middle", view)))
                bar.advance()
        return eval_pairs

    def _build_samples(self) -> SampleGrid:
        every = max(1, len(self.eval_pairs) // MAX_SAMPLE_ROWS)
        tensors = [tuple(torch.from_numpy(t)[None] for t in pair) for pair in self.eval_pairs]
        return SampleGrid([(x, y) for x, y in tensors[::every][:MAX_SAMPLE_ROWS]])

    def _build_method(self) -> Method:
        processes, autocast = self.distributed, self.precision.autocast_dtype
        return Distillation(self.teacher, self.config, processes.device, autocast, processes)

    def _build_evaluator(self) -> Evaluator | None:
        return StudentEvaluator(self.eval_pairs)

    def _init_new_run(self) -> None:
        """A pruned student gets its weights: the same in every process, those of the first."""
        config, name = self.config, self.model.generator_name
        if not config.pruned:
            return
        weights = self._prune_teacher().state_dict()
        for key, value in weights.items():
            weights[key] = self.distributed.gather(value[None].to(self.distributed.device))[0]
        self.model.networks[name].load_state_dict(weights)
        if name in self.model.ema_generators:
            self.model.ema_generators[name].module.load_state_dict(weights)
        found = StudentEvaluator(self.eval_pairs).evaluate(self.model)["mse_skill"]
        self._echo(f"pruned from its teacher, before it learns: mse_skill {found:.3f}")

    def _prune_teacher(self) -> ResnetGenerator:
        """Solved on the CPU, in float32, wherever the run computes."""
        config, data = self.config, self.data.train
        assert isinstance(data, DistillData)
        teacher = copy.deepcopy(self.teacher.network).cpu()
        assert isinstance(teacher, ResnetGenerator)
        student = config.generator_config
        # As many pixels, and so as much memory, whatever the size.
        count = min(
            data.images_per_epoch,
            max(MIN_PRUNING_PHOTOS, MAX_PRUNING_PHOTOS * 256**2 // config.crop_size**2),
            MAX_PRUNING_PHOTOS,
        )
        views = (
            np.ascontiguousarray(data.augmented_crop(draw, augment=False)[0])
            for draw in range(count)
        )
        photos = [torch.from_numpy(view)[None] for view in views]
        with progress_bar("pruning", count_convolutions(student), unit="convolution") as bar:
            return prune(teacher, student, photos, bar.advance)

    def summarize(self) -> str:
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
    """Raises CheckpointError where it is missing, UsageError where it is another."""
    path = Path(config.teacher)
    if not path.is_file():
        raise CheckpointError(f"the teacher {path} is missing; --ckpt says where it is now")
    teacher = Teacher.open(path, direction, precision, config.network or None)
    if teacher.source.sha256 != config.teacher_sha256:
        raise UsageError(f"{path} is not the teacher that the run began with")
    return teacher


def save_student(run_folder: Path, output: Path, report: dict[str, Any]) -> TrainedGenerator:
    """Write the student of RUN/latest.pth as a checkpoint of its own, without what only training
    needs. Returns it as `open_generator` would. Raises CheckpointError, OSError."""
    checkpoint = load_checkpoint(run_folder / "latest.pth")
    lean = _inference_state(checkpoint, report)
    save_checkpoint(output, checkpoint.config, checkpoint.domains, checkpoint.step, lean)
    return generator_from_checkpoint(load_checkpoint(output))


def load_student(run_folder: Path) -> TrainedGenerator:
    """The student of RUN/latest.pth as it is now. Raises CheckpointError."""
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
