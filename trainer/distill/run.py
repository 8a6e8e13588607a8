"""A distillation in a folder.

RUN/latest.pth, metrics.csv, samples/   as of any run (../train.py); a sample is photo, teacher's
                                        answer, student's
RUN/targets/                            the teacher's answers, unless they are kept elsewhere
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch

from cgt.runtime.artifact import Direction
from cgt.runtime.errors import CheckpointError, UsageError
from cgt.runtime.progress import progress_bar

from ..data import Share
from ..dataset import Dataset
from ..domain import Domain, read
from ..method import Method
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
from .photos import find_photos
from .targets import Targets
from .teacher import Teacher

EXAMINED = 24  # held-out photos that it is measured on as it goes


class DistillRun(Run):
    """Resumes exactly, as any run does."""

    command: ClassVar[str] = "cgt distill"
    configs: ClassVar[type[TrainConfig]] = DistillConfig
    config: DistillConfig

    def _open(self, share: Share) -> Dataset:
        config = self.config
        direction: Direction = "AtoB" if config.direction == "AtoB" else "BtoA"
        self.teacher = open_teacher(config, direction, self.processes.device)
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
        files = test.files[:: max(1, len(test.files) // EXAMINED)][:EXAMINED]
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

    def describe(self) -> str:
        config, source = self.config, self.teacher.source
        student = config.generator_config
        return (
            f"teacher {source.path.name} ({source.summary}); student {student.kind}, "
            f"ngf {student.ngf}, {student.norm_kind} norm; "
            f"{len(self.data.train.domains[0].files)} photos, steps {self.step} to "
            f"{self.total_steps}, {self.model.device.type}, {self.precision.name}"
        )


def open_teacher(config: DistillConfig, direction: Direction, device: torch.device) -> Teacher:
    """Raises CheckpointError where it is missing, UsageError where it is another."""
    path = Path(config.teacher)
    if not path.is_file():
        raise CheckpointError(f"the teacher {path} is missing; --ckpt says where it is now")
    teacher = Teacher.open(path, direction, device)
    if teacher.source.sha256 != config.teacher_sha256:
        raise UsageError(f"{path} is not the teacher that the run began with")
    return teacher
