"""A distillation in a folder.

RUN/latest.pth, metrics.csv, samples/   as of any run (../train.py); a sample is photo, teacher's
                                        answer, student's
RUN/targets/                            the teacher's answers, unless they are kept elsewhere
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from cgt.runtime.artifact import Direction
from cgt.runtime.errors import CheckpointError, UsageError
from cgt.runtime.progress import progress_bar

from ..data import Share
from ..dataset import Dataset
from ..domain import Domain, read
from ..method import Method
from ..networks import ResnetGenerator
from ..precision import Precision
from ..samples import ROWS, Samples
from ..selection import Judges
from ..store import ImageStore
from ..survey import survey
from ..train import Run
from ..trainconfig import TrainConfig
from ..views import middle
from .config import DistillConfig
from .data import DistillData
from .distillation import Distillation
from .explained import Examiner, Shown
from .photos import find_photos, spread
from .pruning import convolutions, prune
from .targets import Targets
from .teacher import Teacher

EXAMINED = 24  # held-out photos that it is measured on as it goes
MOST, LEAST = 32, 8  # photos that a pruned student is solved on: of 256 pixels; of any size


class DistillRun(Run):
    """Resumes exactly, as any run does."""

    command: ClassVar[str] = "cgt distill"
    configs: ClassVar[type[TrainConfig]] = DistillConfig
    config: DistillConfig
    model: Distillation

    def _open(self, share: Share) -> Dataset:
        config = self.config
        direction: Direction = "AtoB" if config.direction == "AtoB" else "BtoA"
        self.teacher = open_teacher(config, direction, self.precision)
        self.domains = self.teacher.source.domains
        photos = find_photos([Path(folder) for folder in config.photos], direction)
        store = ImageStore(config.cache_mb)
        found = survey(photos.folders, store, config.workers)
        for line in found.lines():
            self._say(line)
        photos = photos.without(found.unreadable(config.broken))
        self.targets = Targets(Path(config.targets or self.folder / "targets"), self.teacher, store)
        data = DistillData(config, photos, self.targets, store, share)
        self.photos = photos
        self.shown = self._held_out(photos.test)
        return Dataset(data, (photos.test, photos.test), tuple(found.lines()))

    def _held_out(self, test: Domain) -> list[Shown]:
        """Spread over the held-out photos: their middle, and what the teacher makes of it."""
        files = spread(test, EXAMINED).files
        size, shown = self.config.crop_size, []
        with progress_bar("asking the teacher", len(files), unit="photo") as bar:
            for path in files:
                view = middle(test.finish(read(path)), size)[0]
                shown.append((view, self.targets.of(path, f"{size}, middle", view)))
                bar.advance()
        return shown

    def _samples(self) -> Samples:
        every = max(1, len(self.shown) // ROWS)
        tensors = [tuple(torch.from_numpy(t)[None] for t in pair) for pair in self.shown]
        return Samples([(x, y) for x, y in tensors[::every][:ROWS]])

    def _model(self) -> Method:
        processes, autocast = self.processes, self.precision.autocast
        return Distillation(self.teacher, self.config, processes.device, autocast, processes)

    def _judge(self) -> Judges | None:
        return Examiner(self.shown)

    def _begin(self) -> None:
        """A pruned student gets its weights: the same in every process, those of the first."""
        config, name = self.config, self.model.name
        if not config.pruned:
            return
        weights = self._pruned().state_dict()
        for key, value in weights.items():
            weights[key] = self.processes.gather(value[None].to(self.processes.device))[0]
        self.model.networks[name].load_state_dict(weights)
        if name in self.model.averages:
            self.model.averages[name].module.load_state_dict(weights)
        found = Examiner(self.shown).measure(self.model)["explained"]
        self._say(f"pruned from its teacher, before it learns: explained {found:.3f}")

    def _pruned(self) -> ResnetGenerator:
        """Solved on the CPU, in float32, wherever the run computes."""
        config, data = self.config, self.data.train
        assert isinstance(data, DistillData)
        teacher = copy.deepcopy(self.teacher.network).cpu()
        assert isinstance(teacher, ResnetGenerator)
        student = config.generator_config
        # As many pixels, and so as much memory, whatever the size.
        count = min(data.images_per_epoch, max(LEAST, MOST * 256**2 // config.crop_size**2), MOST)
        views = (np.ascontiguousarray(data.look(draw, changed=False)[0]) for draw in range(count))
        photos = [torch.from_numpy(view)[None] for view in views]
        with progress_bar("pruning", convolutions(student), unit="convolution") as bar:
            return prune(teacher, student, photos, bar.advance)

    def describe(self) -> str:
        config, source = self.config, self.teacher.source
        student = config.generator_config
        return (
            (f"{self.begun}; " if self.begun else "")
            + f"teacher {source.path.name} ({source.summary}); student {student.kind}, "
            f"ngf {student.ngf}, {student.norm_kind} norm{', pruned' if config.pruned else ''}; "
            f"{len(self.data.train.domains[0].files)} photos, steps {self.step} to "
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
