"""Training loop and run folder.

RUN/latest.pth     latest checkpoint (checkpoint.py)
RUN/epoch_N.pth    checkpoints of earlier epochs (--save-every)
RUN/best.pth       checkpoint with the best metric (--best)
RUN/metrics.csv    losses, one row per LOG_INTERVAL_STEPS, and metrics (logs/metrics_csv.py)
RUN/samples/       sample images epoch_NNN.png (logs/samples.py)
RUN/tensorboard/   the same losses and metrics, if TensorBoard is installed
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
from cgt.runtime.models.checkpoint_options import NO_OPTIONS, CheckpointOptions
from cgt.runtime.utils.progress import ProgressBar, progress_bar
from cgt.runtime.utils.signals import stop_on_signal

from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .config import TrainConfig
from .data.dataset import Dataset, LogFn, open_dataset
from .data.folders import IMAGE_FOLDER_NAMES, refuse_run_among_images
from .data.loader import Shard, prefetch_to_device
from .distributed import init_distributed
from .logs.best_checkpoint import BestMetric, Evaluator, GeneratorEvaluator
from .logs.metrics_csv import MetricsLogger
from .logs.samples import SampleGrid
from .methods import METHODS
from .methods.base import Method
from .precision import Precision, set_deterministic, set_tf32
from .pretrained import PretrainedInit

if TYPE_CHECKING:
    from typing_extensions import Self

LOG_INTERVAL_STEPS = 50
SAVE_INTERVAL_S = 300.0  # runs are also saved at the end of each epoch


def parse_domain_names(data: Path) -> tuple[str, str]:
    """Return the domain names in a folder's name, such as "horse2zebra"; by default A and B."""
    match = re.fullmatch(r"([a-z]+)2([a-z]+)", data.resolve().name)
    return (match[1], match[2]) if match else ("A", "B")


class TrainingRun:
    """A training run in a folder; use `create` to start a run and `resume` to continue one.

    Subclasses such as that of `cgt distill` override `_open_dataset`, `_build_samples`,
    `_build_method`, `_build_evaluator` and `_init_new_run`.

    Args:
        folder: Folder of the run.
        config: Settings of the run.
        log: Receives lines for the user.

    Attributes:
        step: Number of completed training steps.
        total_steps: Length of the run, in steps.
        domains: Names of A and B.
        model: Networks and optimizers.
        init_summary: What --init-from loaded; empty without it.
    """

    command: ClassVar[str] = "cgt train"
    config_class: ClassVar[type[TrainConfig]] = TrainConfig

    def __init__(self, folder: Path, config: TrainConfig, log: LogFn = lambda line: None) -> None:
        if config.threads:
            torch.set_num_threads(config.threads)
        set_deterministic(config.deterministic)
        self.folder = folder
        self.distributed = init_distributed(config.device, config.batch_size)
        self.is_main_process = self.distributed.rank == 0
        self._echo = log if self.is_main_process else lambda line: None
        self.precision = self._resolve_precision(config.precision)
        set_tf32(self.precision.tf32)
        # The checkpoint stores the precision, so a resumed run keeps it on any machine.
        self.config = config = dataclasses.replace(config, precision=self.precision.name)
        self.domains = parse_domain_names(Path(config.data))
        self.data = self._open_dataset(Shard(self.distributed.rank, self.distributed.world_size))
        self.samples = self._build_samples()
        self.model = self._build_method()
        self.evaluator = self._build_evaluator()
        self.best_metric = BestMetric(config.best)
        self.init_summary = ""
        self.step = 0
        self.pending_losses: list[torch.Tensor] = []
        per_epoch = self.data.train.steps_per_epoch
        self.total_steps = config.schedule_length * (1 if config.steps else per_epoch)

    def _resolve_precision(self, name: str) -> Precision:
        """Choose the same precision in all processes; each of them measures which one is faster."""
        precision = Precision.from_name(name, self.distributed.device)
        if name == "auto" and self.distributed.any(precision.autocast_dtype is not None):
            return Precision.from_name("bf16", self.distributed.device)
        return precision

    def _open_dataset(self, shard: Shard) -> Dataset:
        """Open the training and test images. Raises DataError."""
        return open_dataset(self.config, METHODS[self.config.method].paired, shard, self._echo)

    def _build_samples(self) -> SampleGrid:
        """Select the sample images that are rendered at the end of each epoch."""
        squash = self.config.preprocess == "resize-and-crop"
        return SampleGrid.from_folders(self.data.sample_folders, self.config.inference_size, squash)

    def _build_method(self) -> Method:
        """Build networks and optimizers."""
        method_class = METHODS[self.config.method]
        device, dtype = self.distributed.device, self.precision.autocast_dtype
        return method_class(self.config, device, dtype, self.distributed)

    def _build_evaluator(self) -> Evaluator | None:
        """Build the evaluator that selects best.pth, if there is one."""
        return GeneratorEvaluator.from_config(self.config, self.data)

    @classmethod
    def create(
        cls,
        folder: Path,
        config: TrainConfig,
        init_from: Path | None = None,
        log: LogFn = lambda line: None,
        init_options: CheckpointOptions = NO_OPTIONS,
    ) -> Self:
        """Start a run.

        Args:
            folder: Folder of the run.
            config: Settings of the run.
            init_from: Checkpoint of any trainer; its generators determine the architecture and
                the initial weights.
            log: Receives lines for the user.
            init_options: What the user states about `init_from`.

        Raises:
            UsageError: If the folder already has a run or the checkpoint does not match.
            DataError: If the data set is unusable.
            CheckpointError: If the checkpoint cannot be read.
        """
        if (folder / "latest.pth").exists():
            raise UsageError(f"{folder} already has a run; resume it with --resume {folder}")
        refuse_run_among_images(folder, [Path(config.data) / name for name in IMAGE_FOLDER_NAMES])
        if init_from and init_from.resolve().parent == folder.resolve():
            raise UsageError(
                f"{init_from} lies in {folder}, where the new run writes checkpoints; give another "
                "--output"
            )
        pretrained = PretrainedInit.from_checkpoint(init_from, init_options) if init_from else None
        run = cls(folder, pretrained.apply_architecture(config) if pretrained else config, log)
        if pretrained:
            run.init_summary = pretrained.load_weights(run.model.generators)
        try:
            (folder / "samples").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot write to {folder}: {error.strerror}") from None
        run._init_new_run()
        return run

    def _init_new_run(self) -> None:
        """Initialize what only a new run needs; a hook for subclasses, called last."""

    @classmethod
    def resume(
        cls, folder: Path, changes: dict[str, Any] | None = None, log: LogFn = lambda line: None
    ) -> Self:
        """Continue a run from its latest checkpoint.

        Args:
            folder: Folder of the run.
            changes: Settings to change; see config.CHANGEABLE_ON_RESUME.
            log: Receives lines for the user.

        Raises:
            CheckpointError: If there is no checkpoint or it cannot be read.
            UsageError: If a setting cannot change or another command created the run.
        """
        path = folder / "latest.pth"
        if not path.exists():
            raise CheckpointError(f"{path} is missing; there is no run to resume in {folder}")
        checkpoint = load_checkpoint(path)
        if type(checkpoint.config) is not cls.config_class:
            raise UsageError(
                f"{folder} is a run of `{checkpoint.written_by}`; resume it with "
                f"`{checkpoint.written_by} --resume {folder}`"
            )
        config = checkpoint.config.with_changes(changes or {})
        run = cls(folder, config, log)
        settings = config.to_json()
        for name, old in checkpoint.config.to_json().items():
            if (new := settings[name]) != old:
                run._echo(f"--{name.replace('_', '-')}: changed from {old} to {new}")
        run.restore(checkpoint)
        return run

    def restore(self, checkpoint: Checkpoint) -> None:
        """Restore the state of a checkpoint."""
        self.model.load_state_dict(checkpoint.state)
        self.step = checkpoint.step
        device = self.model.device
        self.pending_losses = [losses.to(device) for losses in checkpoint.state["unlogged"]]
        self.best_metric.load_state_dict(checkpoint.state["best"])
        saved_world_size, world_size = checkpoint.state["world"], self.distributed.world_size
        if saved_world_size and saved_world_size != world_size:
            self._echo(
                f"warning: number of processes changed from {saved_world_size} to {world_size}; "
                "batches stay the same, but sums are computed in another order, so results differ "
                "in rounding from those of an uninterrupted run"
            )

    def summarize(self) -> str:
        """Describe the run in a line."""
        config = self.config
        a, b = (len(folder.files) for folder in self.data.train.folders)
        world_size = self.distributed.world_size
        return (
            (f"{self.init_summary}; " if self.init_summary else "")
            + f"{config.method}, {config.generator} ngf {config.ngf}: {self.domains[0]} "
            f"({a} images) and {self.domains[1]} ({b}), steps {self.step} to {self.total_steps}, "
            f"{self.model.device.type}, {self.precision.name}"
            + (f", {world_size} processes" if world_size > 1 else "")
        )

    def train(self) -> None:
        """Train to the end.

        Raises:
            Interrupted: After a signal; the run is saved.
            CgtError: If a loss or weight is not finite, or if another process of the job failed.
        """
        # The logger drops rows after the checkpoint; the resumed run writes them again.
        log = (
            MetricsLogger(self.folder, self.step, self.pending_losses)
            if self.is_main_process
            else None
        )
        progress = progress_bar("training", self.total_steps, self.step, unit="step")
        try:
            with stop_on_signal() as stop, progress as bar:
                self._train_steps(log or _NullMetricsLogger(self.pending_losses), bar, stop.is_set)
            self.distributed.close()
        except Interrupted:
            self.distributed.close()
            raise
        except RuntimeError as error:
            if isinstance(error, CgtError) or not self.distributed.is_peer_failure(error):
                raise
            raise CgtError(
                f"another process of the job failed in step {self.step + 1}; restart the job with "
                f"--resume {self.folder}"
            ) from None
        if log is not None:
            log.close()

    def _train_steps(
        self, log: MetricsLogger, bar: ProgressBar, stop_requested: Callable[[], bool]
    ) -> None:
        # Any of several processes may fail, so save a checkpoint to resume from immediately.
        save_first_step = (
            self.distributed.world_size > 1 and not (self.folder / "latest.pth").exists()
        )
        saved_at = -math.inf if save_first_step else time.monotonic()
        data, per_epoch = self.data.train, self.data.train.steps_per_epoch
        device = self.distributed.device
        workers = self.config.num_workers(self.distributed.world_size)
        batches = data.batches(
            self.step, self.total_steps, workers, pin_memory=device.type == "cuda"
        )
        for a, b in prefetch_to_device(batches, device):
            epoch = self.step // per_epoch
            # Dropout depends on seed, step and process only, as the data does.
            torch.manual_seed(hash((self.config.seed, self.step, self.distributed.rank)))
            position = self.step if self.config.steps else epoch
            losses = self.model.step(a, b, position)
            self.step += 1
            bar.advance()
            log.add_losses(losses)
            if self.step % LOG_INTERVAL_STEPS == 0 or self.step == self.total_steps:
                self._log_losses(log, bar, position)
            # All processes ask at the same steps, so that all of them stop after the same step.
            may_stop = self.step % self.distributed.stop_check_interval_steps == 0
            stop = may_stop and self.distributed.any(stop_requested())
            if self.step % per_epoch == 0 or self.step == self.total_steps:
                self._end_epoch(log, epoch + 1)
                saved_at = time.monotonic()
            elif stop or self._is_save_due(saved_at):
                self.save(log)
                saved_at = time.monotonic()
            if stop and self.step < self.total_steps:
                raise Interrupted(
                    f"stopped after step {self.step} and saved; "
                    f"resume with `{self.command} --resume {self.folder}`"
                )

    def _is_save_due(self, saved_at: float) -> bool:
        return self.is_main_process and time.monotonic() - saved_at > SAVE_INTERVAL_S

    def _log_losses(self, log: MetricsLogger, bar: ProgressBar, position: int) -> None:
        self._check_losses(log)
        log.pending_losses[:] = [self.distributed.mean(losses) for losses in log.pending_losses]
        means = log.pop_means()
        rate = self.config.lr * self.config.lr_schedule.factor(position)
        log.write_row(self.step, self._fractional_epoch, {"lr": rate, **means})
        bar.set_postfix(" ".join(f"{name} {value:.2f}" for name, value in means.items()))

    @property
    def _fractional_epoch(self) -> float:
        return round(self.step / self.data.train.steps_per_epoch, 3)

    def _end_epoch(self, log: MetricsLogger, epoch: int) -> None:
        config, last = self.config, self.step == self.total_steps
        if self.is_main_process:
            is_best = False
            if self.evaluator is not None and (epoch % config.eval_every == 0 or last):
                metrics = self.evaluator.evaluate(self.model)
                log.write_row(self.step, self._fractional_epoch, metrics)
                is_best = self.best_metric.update(metrics[config.best], epoch)
            # latest.pth determines where the run resumes, so it is written last. If the run is
            # killed before that, it repeats the other files.
            samples = self.folder / "samples"
            samples.mkdir(exist_ok=True)
            self.samples.save(self.model, samples / f"epoch_{epoch:03d}.png")
            if config.save_every and epoch % config.save_every == 0:
                self.save(log, f"epoch_{epoch}.pth")
            if is_best:
                self.save(log, "best.pth")
            self.save(log)

    def save(self, log: MetricsLogger, name: str = "latest.pth") -> None:
        """Write a checkpoint. If a value is not finite, keep the old one and raise CgtError."""
        self._check_losses(log)
        for network, module in self.model.networks.items():
            for key, tensor in module.state_dict().items():
                if not bool(torch.isfinite(tensor).all()):
                    raise self._divergence_error(f"{network}.{key}", self.step)
        if self.is_main_process:
            state = {
                "unlogged": log.pending_losses,
                "best": self.best_metric.state_dict(),
                "world": self.distributed.world_size,
                **self.model.state_dict(),
            }
            path = self.folder / name
            save_checkpoint(path, self.config, self.domains, self.step, state)

    def _check_losses(self, log: MetricsLogger) -> None:
        if bad := log.find_non_finite(self.step):
            step, name = bad
            raise self._divergence_error(f"the loss {name}", step)

    def _divergence_error(self, what: str, step: int) -> CgtError:
        latest = self.folder / "latest.pth"
        advice = f"resume from {latest}, the last good state, or " if latest.exists() else ""
        return CgtError(
            f"{what} is not finite at step {step}; {advice}start again with a lower --lr "
            "or --precision fp32"
        )


class _NullMetricsLogger(MetricsLogger):
    """Logger of the processes with rank > 0, which write no file."""

    def __init__(self, pending_losses: list[torch.Tensor]) -> None:
        self.pending_losses, self.loss_names = pending_losses, []

    def write_row(self, step: int, epoch: float, values: dict[str, float]) -> None:
        pass
