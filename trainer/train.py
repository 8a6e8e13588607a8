"""A run: batches in, steps, and a folder that tells how it goes.

RUN/latest.pth     everything (checkpoint.py)
RUN/epoch_NNN.pth  the same, as it was then (--save-every)
RUN/best.pth       the same, where the metric was best (--best)
RUN/metrics.csv    losses, one line per LOG_EVERY steps, and metrics (runlog.py)
RUN/samples/       epoch_NNN.png (samples.py)
"""

from __future__ import annotations

import dataclasses
import math
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from cgt.runtime.errors import CgtError, CheckpointError, Interrupted, UsageError
from cgt.runtime.progress import Bar, progress_bar
from cgt.runtime.stopping import stop_on_signal

from .beginning import Beginning
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .data import Share
from .dataset import Dataset, open_dataset
from .method import Method
from .methods import METHODS
from .precision import Precision, make_deterministic
from .processes import open_processes
from .runlog import RunLog
from .samples import Samples
from .selection import Best, Judge, Judges
from .trainconfig import TrainConfig

if TYPE_CHECKING:
    from typing_extensions import Self

LOG_EVERY = 50  # steps
SAVE_EVERY = 300.0  # seconds; also at the end of each epoch

Say = Callable[[str], None]


def domain_names(data: Path) -> tuple[str, str]:
    """ "horse2zebra" holds horses and zebras; any other folder holds A and B."""
    match = re.fullmatch(r"([a-z]+)2([a-z]+)", data.resolve().name)
    return (match[1], match[2]) if match else ("A", "B")


class Run:
    """A training run in a folder. `Run.create` starts one, `Run.resume` goes on with one.

    cgt distill's is a Run, too (distill/run.py), with another _open, _model, _samples, _judge, and
    a _begin.
    """

    command: ClassVar[str] = "cgt train"
    configs: ClassVar[type[TrainConfig]] = TrainConfig

    def __init__(self, folder: Path, config: TrainConfig, say: Say = lambda line: None) -> None:
        if config.threads:
            torch.set_num_threads(config.threads)
        make_deterministic(config.deterministic)
        self.folder = folder
        self.processes = open_processes(config.device, config.batch_size)
        self.leads = self.processes.rank == 0
        self._say = say if self.leads else lambda line: None
        self.precision = self._precision(config.precision)
        # A run goes on in what it began in, also on a machine that would choose otherwise.
        self.config = config = dataclasses.replace(config, precision=self.precision.name)
        self.domains = domain_names(Path(config.data))
        self.data = self._open(Share(self.processes.rank, self.processes.world))
        self.samples = self._samples()
        self.model = self._model()
        self.judge = self._judge()
        self.best = Best(config.best)
        self.begun = ""  # what --init-from brought
        self.step = 0
        self.unlogged: list[torch.Tensor] = []
        per_epoch = self.data.train.steps_per_epoch
        self.total_steps = config.schedule_units * (1 if config.steps else per_epoch)

    def _precision(self, name: str) -> Precision:
        """The same in all processes, which measure what is faster each for itself."""
        precision = Precision.of(name, self.processes.device)
        if name == "auto" and self.processes.any(precision.autocast is not None):
            return Precision.of("bf16", self.processes.device)
        return precision

    def _open(self, share: Share) -> Dataset:
        """What there is to learn from. Raises DataError."""
        return open_dataset(self.config, METHODS[self.config.method].paired, share, self._say)

    def _samples(self) -> Samples:
        """What is shown at the end of each epoch."""
        square = self.config.preprocess == "resize-and-crop"
        return Samples.of(self.data.shown, self.config.serving_size, square)

    def _model(self) -> Method:
        """What learns."""
        processes, autocast = self.processes, self.precision.autocast
        return METHODS[self.config.method](self.config, processes.device, autocast, processes)

    def _judge(self) -> Judges | None:
        """What measures it now and then, if anything does."""
        return Judge.of(self.config, self.data)

    @classmethod
    def create(
        cls,
        folder: Path,
        config: TrainConfig,
        init_from: Path | None = None,
        say: Say = lambda line: None,
    ) -> Self:
        """init_from: a checkpoint of any trainer, whose generators are the first weights and whose
        architecture is taken. Raises UsageError when the folder already holds a run or the
        checkpoint does not fit, DataError for unusable data, CheckpointError."""
        if (folder / "latest.pth").exists():
            raise UsageError(f"{folder} holds a run already; resume it with --resume {folder}")
        beginning = Beginning.of(init_from) if init_from else None
        run = cls(folder, beginning.configure(config) if beginning else config, say)
        if beginning:
            run.begun = beginning.fill(run.model.generators)
        try:
            (folder / "samples").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot write to {folder}: {error.strerror}") from None
        run._begin()
        return run

    def _begin(self) -> None:
        """Of a new run alone, last: first weights that a seed does not tell."""

    @classmethod
    def resume(
        cls, folder: Path, changes: dict[str, Any] | None = None, say: Say = lambda line: None
    ) -> Self:
        """changes: settings that shall differ from now on; see trainconfig.SAFE.
        Raises CheckpointError when there is nothing to resume, UsageError for other changes."""
        path = folder / "latest.pth"
        if not path.exists():
            raise CheckpointError(f"{path} is missing; there is no run to resume in {folder}")
        checkpoint = load_checkpoint(path)
        if type(checkpoint.config) is not cls.configs:
            raise UsageError(
                f"{folder} is a run of `{checkpoint.written_by}`; go on with it by "
                f"`{checkpoint.written_by} --resume {folder}`"
            )
        config = checkpoint.config.changed(changes or {})
        run = cls(folder, config, say)
        now = config.to_json()
        for name, old in checkpoint.config.to_json().items():
            if (new := now[name]) != old:
                run._say(f"--{name.replace('_', '-')}: {old} before, {new} from here on")
        run.restore(checkpoint)
        return run

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on where the checkpoint was written."""
        self.model.load_state_dict(checkpoint.state)
        self.step = checkpoint.step
        self.unlogged = checkpoint.state["unlogged"]
        self.best.load(checkpoint.state["best"])
        before, here = checkpoint.state["world"], self.processes.world
        if before and before != here:
            self._say(
                f"warning: processes: {before} before, {here} from here on; the same batches, but "
                "sums in another order: no longer an uninterrupted run bit for bit"
            )

    def describe(self) -> str:
        """The run in a line."""
        config = self.config
        a, b = (len(domain.files) for domain in self.data.train.domains)
        world = self.processes.world
        return (
            (f"{self.begun}; " if self.begun else "")
            + f"{config.method}, {config.generator} ngf {config.ngf}: {self.domains[0]} "
            f"({a} images) and {self.domains[1]} ({b}), steps {self.step} to {self.total_steps}, "
            f"{self.model.device.type}, {self.precision.name}"
            + (f", {world} processes" if world > 1 else "")
        )

    def train(self) -> None:
        """Train to the end. Raises Interrupted after a signal, with everything saved, and CgtError
        where another process of the job is lost."""
        # What a run that was cut off wrote last is dropped, and written again.
        log = RunLog(self.folder, self.step, self.unlogged) if self.leads else None
        progress = progress_bar("training", self.total_steps, self.step, unit="step")
        try:
            with stop_on_signal() as stop, progress as bar:
                self._steps(log or _NoLog(self.unlogged), bar, stop.is_set)
        except RuntimeError as error:
            if isinstance(error, CgtError) or not self.processes.lost_one(error):
                raise
            raise CgtError(
                f"another process of the job was lost in step {self.step + 1}; start it again with "
                f"--resume {self.folder}"
            ) from None
        if log is not None:
            log.close()

    def _steps(self, log: RunLog, bar: Bar, asked_to_stop: Callable[[], bool]) -> None:
        # Of several processes any may be lost: there is something to go on from at once.
        first = self.processes.world > 1 and not (self.folder / "latest.pth").exists()
        saved_at = -math.inf if first else time.monotonic()
        data, per_epoch = self.data.train, self.data.train.steps_per_epoch
        for a, b in data.batches(self.step, self.total_steps, self.config.workers):
            epoch = self.step // per_epoch
            # Dropout follows from seed, step and process alone, as the data does.
            torch.manual_seed(hash((self.config.seed, self.step, self.processes.rank)))
            position = self.step if self.config.steps else epoch
            losses = self.model.step(a, b, position)
            self.step += 1
            bar.advance()
            log.add(losses)
            if self.step % LOG_EVERY == 0 or self.step == self.total_steps:
                self._log(log, bar, position)
            stop = self.processes.any(asked_to_stop())
            if self.step % per_epoch == 0 or self.step == self.total_steps:
                self._end_epoch(log, epoch + 1)
                saved_at = time.monotonic()
            elif stop or self._due(saved_at):
                self.save(log)
                saved_at = time.monotonic()
            if stop and self.step < self.total_steps:
                raise Interrupted(
                    f"stopped after step {self.step}, saved; "
                    f"go on with `{self.command} --resume {self.folder}`"
                )

    def _due(self, saved_at: float) -> bool:
        return self.leads and time.monotonic() - saved_at > SAVE_EVERY

    def _log(self, log: RunLog, bar: Bar, position: int) -> None:
        self._check_losses(log)
        log.pending[:] = [self.processes.mean(losses) for losses in log.pending]
        means = log.flush()
        rate = self.config.lr * self.config.lr_schedule.factor(position)
        log.write(self.step, self._epochs, {"lr": rate, **means})
        bar.note(" ".join(f"{name} {value:.2f}" for name, value in means.items()))

    @property
    def _epochs(self) -> float:
        return round(self.step / self.data.train.steps_per_epoch, 3)

    def _end_epoch(self, log: RunLog, epoch: int) -> None:
        config, last = self.config, self.step == self.total_steps
        if self.leads:
            best = False
            if self.judge is not None and (epoch % config.eval_every == 0 or last):
                measured = self.judge.measure(self.model)
                log.write(self.step, self._epochs, measured)
                best = self.best.update(measured[config.best], epoch)
            # First what may stay behind, then latest.pth, which says how far the run is: a run
            # killed in between does it all again.
            self.samples.save(self.model, self.folder / "samples" / f"epoch_{epoch:03d}.png")
            if config.save_every and epoch % config.save_every == 0:
                self.save(log, f"epoch_{epoch}.pth")
            if best:
                self.save(log, "best.pth")
            self.save(log)

    def save(self, log: RunLog, name: str = "latest.pth") -> None:
        """Write a checkpoint. Raises CgtError, and keeps the old one, if a number is none."""
        self._check_losses(log)
        for network, module in self.model.networks.items():
            for key, tensor in module.state_dict().items():
                if not bool(torch.isfinite(tensor).all()):
                    raise self._diverged(f"{network}.{key}", self.step)
        if self.leads:
            state = {
                "unlogged": log.pending,
                "best": self.best.state(),
                "world": self.processes.world,
                **self.model.state_dict(),
            }
            path = self.folder / name
            save_checkpoint(path, self.config, self.domains, self.step, state)

    def _check_losses(self, log: RunLog) -> None:
        if bad := log.not_finite(self.step):
            step, name = bad
            raise self._diverged(f"the loss {name}", step)

    def _diverged(self, what: str, step: int) -> CgtError:
        kept = self.folder / "latest.pth"
        way_out = f"go on from {kept}, the last good state, or " if kept.exists() else ""
        return CgtError(
            f"{what} is not finite at step {step}; {way_out}start again with a lower --lr "
            "or --precision fp32"
        )


class _NoLog(RunLog):
    """Of a process that does not lead."""

    def __init__(self, pending: list[torch.Tensor]) -> None:
        self.pending, self.names = pending, []

    def write(self, step: int, epoch: float, values: dict[str, float]) -> None:
        pass
