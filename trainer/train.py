"""A run: batches in, steps, and a folder that tells how it goes.

RUN/latest.pth     everything (checkpoint.py)
RUN/losses.csv     mean losses, one line per LOG_EVERY steps
RUN/samples/       epoch_NNN.png (samples.py)
"""

from __future__ import annotations

import dataclasses
import math
import re
import time
from pathlib import Path

import torch

from cgt.runtime.errors import CgtError, CheckpointError, Interrupted, UsageError
from cgt.runtime.progress import progress_bar
from cgt.runtime.stopping import stop_on_signal

from .checkpoint import load_checkpoint, save_checkpoint
from .config import TrainConfig
from .csvlog import LossLog
from .cyclegan import CycleGAN
from .data import UnpairedData
from .generator import TrainedGenerator, open_both
from .samples import Samples

LOG_EVERY = 50  # steps
SAVE_EVERY = 300.0  # seconds; also at the end of each epoch


def domain_names(data: Path) -> tuple[str, str]:
    """ "horse2zebra" holds horses and zebras; any other folder holds A and B."""
    match = re.fullmatch(r"([a-z]+)2([a-z]+)", data.resolve().name)
    return (match[1], match[2]) if match else ("A", "B")


def pick_device(name: str) -> torch.device:
    """ "auto" is the GPU where there is one. Raises UsageError for a device PyTorch cannot use."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError):
        raise UsageError(f"--device {name} cannot be used by PyTorch here") from None
    return device


def pick_precision(name: str, device: torch.device) -> torch.dtype | None:
    """The autocast type; "auto" is bf16 where the device computes in it natively."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported()
    else:
        native = bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return torch.bfloat16 if name == "bf16" or (name == "auto" and native) else None


def start_from(path: Path) -> dict[str, TrainedGenerator]:
    """The generators of a checkpoint to begin with, "G_A", "G_B" or both.

    Raises UsageError when they are not both of one architecture, or do not take RGB images.
    """
    given = open_both(path)
    one, *others = given.values()
    if (one.in_channels, one.out_channels) != (3, 3):
        raise UsageError(
            f"{path} translates {one.in_channels} to {one.out_channels} channels; only RGB trains"
        )
    if any(other.architecture != one.architecture for other in others):
        raise UsageError(f"the two generators of {path} differ in architecture; they must not")
    return given


class Run:
    """A training run in a folder. `Run.create` starts one, `Run.resume` goes on with one."""

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        self.folder, self.config = folder, config
        root = Path(config.data)
        self.domains = domain_names(root)
        self.data = UnpairedData(
            root,
            load_size=config.load_size,
            crop_size=config.crop_size,
            batch_size=config.batch_size,
            seed=config.seed,
        )
        self.samples = Samples(root, config.serving_size)
        if config.threads:
            torch.set_num_threads(config.threads)
        device = pick_device(config.device)
        self.model = CycleGAN(config, device, pick_precision(config.precision, device))
        self.step = 0
        self.unlogged: list[torch.Tensor] = []
        self.given: dict[str, TrainedGenerator] = {}  # what --init-from brought
        self.total_steps = self.data.steps_per_epoch * config.total_epochs

    @classmethod
    def create(cls, folder: Path, config: TrainConfig, init_from: Path | None = None) -> Run:
        """init_from: a checkpoint of any trainer, whose generators are the first weights and whose
        architecture is taken. Raises UsageError when the folder already holds a run or the
        checkpoint does not fit, DataError for unusable data, CheckpointError."""
        if (folder / "latest.pth").exists():
            raise UsageError(f"{folder} holds a run already; resume it with --resume {folder}")
        given = start_from(init_from) if init_from else {}
        for one in given.values():
            config = dataclasses.replace(
                config,
                generator=one.architecture["kind"],
                ngf=one.architecture["ngf"],
                described=one.architecture,
            )
        run = cls(folder, config)
        for name, one in given.items():
            run.model.networks[name].load_state_dict(one.network.state_dict())
        run.given = given
        try:
            (folder / "samples").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot write to {folder}: {error.strerror}") from None
        return run

    @classmethod
    def resume(cls, folder: Path) -> Run:
        """Raises CheckpointError when there is nothing to resume."""
        path = folder / "latest.pth"
        if not path.exists():
            raise CheckpointError(f"{path} is missing; there is no run to resume in {folder}")
        checkpoint = load_checkpoint(path)
        run = cls(folder, checkpoint.config)
        run.model.load_state_dict(checkpoint.state)
        run.step = checkpoint.step
        run.unlogged = checkpoint.state["unlogged"]
        return run

    def describe(self) -> str:
        a, b = (len(domain.files) for domain in self.data.domains)
        precision = "bf16" if self.model.autocast is torch.bfloat16 else "fp32"
        return (
            f"{self._beginning()}{self.config.generator} ngf {self.config.ngf}: "
            f"{self.domains[0]} ({a} images) and {self.domains[1]} ({b}), "
            f"steps {self.step} to {self.total_steps}, {self.model.device.type}, {precision}"
        )

    def _beginning(self) -> str:
        """What --init-from brought."""
        parts = [f"{name} begins with {one.path.name}, " for name, one in self.given.items()]
        alone = "the other from scratch, " if len(parts) == 1 else ""
        return "".join(parts) + alone

    def train(self) -> None:
        """Train to the end. Raises Interrupted after a signal, with everything saved."""
        log = LossLog(self.folder / "losses.csv", self.step, self.unlogged)
        saved_at = time.monotonic()
        with (
            stop_on_signal() as stop,
            progress_bar("training", self.total_steps, self.step, unit="step") as bar,
        ):
            for a, b in self.data.batches(self.step, self.total_steps):
                epoch, position = divmod(self.step, self.data.steps_per_epoch)
                losses = self.model.step(a, b, epoch)
                self.step += 1
                bar.advance()
                if log.add(self.step, losses, every=LOG_EVERY):
                    self._check_finite(log.latest)
                    bar.note(" ".join(f"{k} {v:.2f}" for k, v in log.latest.items()))
                if position + 1 == self.data.steps_per_epoch:
                    self.save()
                    self.samples.save(
                        self.model, self.folder / "samples" / f"epoch_{epoch + 1:03d}.png"
                    )
                    saved_at = time.monotonic()
                elif stop.is_set() or time.monotonic() - saved_at > SAVE_EVERY:
                    self.save()
                    saved_at = time.monotonic()
                if stop.is_set() and self.step < self.total_steps:
                    raise Interrupted(
                        f"stopped after step {self.step}, saved; "
                        f"go on with `cgt train --resume {self.folder}`"
                    )

    def save(self) -> None:
        """Write latest.pth. Raises CgtError, and keeps the old one, if a weight is no number."""
        for name, network in self.model.networks.items():
            if not all(bool(torch.isfinite(p).all()) for p in network.parameters()):
                raise self._diverged(f"a weight of {name}")
        save_checkpoint(
            self.folder / "latest.pth",
            self.config,
            self.domains,
            self.step,
            {**self.model.state_dict(), "unlogged": self.unlogged},
        )

    def _check_finite(self, losses: dict[str, float]) -> None:
        bad = [name for name, value in losses.items() if not math.isfinite(value)]
        if bad:
            raise self._diverged(f"the loss {bad[0]}")

    def _diverged(self, what: str) -> CgtError:
        kept = self.folder / "latest.pth"
        way_out = f"go on from {kept}, the last good state, or " if kept.exists() else ""
        return CgtError(
            f"{what} is not finite at step {self.step}; {way_out}start again with a lower --lr "
            "or --precision fp32"
        )
