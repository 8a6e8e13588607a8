"""The one description of a training run: what the flags say, what the checkpoint keeps."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from cgt.runtime.errors import CheckpointError, UsageError
from cgt.runtime.models.metadata import DIRECTIONS, Direction

from .lr_schedule import LR_SCHEDULES, LRSchedule
from .networks.config import GeneratorConfig

# Defaults of a method where they are not the paper's of CycleGAN (Isola et al. 2017).
METHOD_DEFAULTS: dict[str, dict[str, Any]] = {
    "cyclegan": {},
    "pix2pix": {
        "generator": "unet256",
        "norm": "batch",
        "dropout": True,
        "gan_loss": "vanilla",
        "pool_size": 0,
        "lambda_identity": 0.0,
    },
}

CHOICES: dict[str, tuple[str, ...]] = {
    "method": tuple(METHOD_DEFAULTS),
    "direction": DIRECTIONS,
    "norm": ("instance", "instance_affine", "batch", "none"),
    "upsampling": ("transposed", "resize"),
    "block": ("plain", "separable"),
    "discriminator": ("patch", "pixel", "projected"),
    "init": ("auto", "normal", "xavier", "kaiming", "orthogonal"),
    "gan_loss": ("lsgan", "vanilla", "hinge"),
    "cycle_loss": ("l1", "l2"),
    "schedule": LR_SCHEDULES,
    "preprocess": ("resize-and-crop", "crop", "scale-width", "scale-short", "none"),
    "on_corrupt": ("fail", "skip"),
    "precision": ("auto", "fp32", "bf16", "fp16"),
    "best": ("none", "frechet", "kernel", "cycle_psnr", "psnr", "ssim", "l1"),
}
_POSITIVE = (
    *("ngf", "ndf", "batch_size", "accumulate", "crop_size", "load_size", "lr", "d_layers"),
    *("step_every", "eval_every"),
)
_NON_NEGATIVE = (
    *("lambda_cycle", "lambda_identity", "lambda_l1", "pool_size", "epochs", "decay_epochs"),
    *("steps", "decay_steps", "threads", "workers", "clip_grad", "cache_mb", "save_every"),
)

# What a run may go on with though it was started with something else: none of it changes what
# the networks are or what they are told.
CHANGEABLE_ON_RESUME = frozenset(
    {"data", "threads", "device", "workers", "cache_mb", "save_every", "compile", "on_corrupt"}
    | {"epochs", "decay_epochs", "steps", "decay_steps", "best", "eval_every"}
)

# How checkpoints written before 0.1.0 spell fields.
_OLD_FIELDS = {"described": "generator_json", "broken": "on_corrupt"}


@dataclass(frozen=True)
class TrainConfig:
    """A training run. Defaults are those of the paper (Zhu et al. 2017, section 4 and appendix)."""

    choices: ClassVar[dict[str, tuple[str, ...]]] = CHOICES
    changeable_on_resume: ClassVar[frozenset[str]] = CHANGEABLE_ON_RESUME

    data: str
    method: str = "cyclegan"
    direction: str = "AtoB"  # of pix2pix, which learns one
    generator_json: dict[str, Any] | None = None  # a GeneratorConfig in place of flags; --init-from

    generator: str = "resnet9"
    ngf: int = 64
    norm: str = "instance"
    dropout: bool = False
    block: str = "plain"
    learn_residual: bool = False
    upsampling: str = "transposed"
    channels_a: int = 3
    channels_b: int = 3
    discriminator: str = "patch"
    ndf: int = 64
    d_layers: int = 3  # 3 sees patches of 70x70
    init: str = "auto"
    init_gain: float = 0.02

    gan_loss: str = "lsgan"
    cycle_loss: str = "l1"
    lambda_cycle: float = 10.0
    lambda_a: float | None = None  # weight of A's cycle and identity instead of lambda_cycle
    lambda_b: float | None = None
    lambda_identity: float = 0.5  # multiplies the weight of the cycle
    lambda_l1: float = 100.0  # of pix2pix
    pool_size: int = 50

    epochs: int = 100  # at the full learning rate
    decay_epochs: int = 100  # of decay to zero after that
    steps: int = 0  # instead of epochs
    decay_steps: int = 0
    schedule: str = "linear"
    step_every: int = 50  # epochs (steps, with `steps`) between drops of the step schedule
    batch_size: int = 1
    accumulate: int = 1  # batches per optimisation step
    lr: float = 2e-4
    beta1: float = 0.5
    clip_grad: float = 0.0  # largest norm of each network's gradient; 0: any
    ema: float = 0.0  # decay per step of the generators' moving average; 0: none

    preprocess: str = "resize-and-crop"
    load_size: int = 286
    crop_size: int = 256
    flip: bool = True
    on_corrupt: str = "fail"  # what a file that does not decode does to the run
    workers: int = 1
    cache_mb: int = 1024  # of decoded images kept in memory

    precision: str = "auto"
    channels_last: bool = False
    compile: bool = False
    deterministic: bool = False
    seed: int = 0
    threads: int = 0  # 0: as many as PyTorch takes by itself
    device: str = "auto"

    save_every: int = 0  # epochs between the checkpoints that stay; 0: none stays
    best: str = "none"  # the metric that best.pth is chosen by
    eval_every: int = 5  # epochs between its measurements

    @classmethod
    def for_method(cls, method: str = "cyclegan", **settings: Any) -> TrainConfig:
        """A run of a method: what is not given is as its paper has it. Raises UsageError."""
        defaults = METHOD_DEFAULTS.get(method, {})
        return cls(**(defaults | settings | {"method": method}))

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            _check_setting(getattr(self, name) > 0, name, "must be positive")
        for name in _NON_NEGATIVE:
            _check_setting(getattr(self, name) >= 0, name, "must not be negative")
        for name, allowed in self.choices.items():
            _check_setting(
                getattr(self, name) in allowed, name, f"must be one of {', '.join(allowed)}"
            )
        _check_setting(0 <= self.ema < 1, "ema", "must be at least 0 and below 1")
        _check_setting(0 <= self.beta1 < 1, "beta1", "must be at least 0 and below 1")
        if self.schedule_length < 1:
            raise UsageError("--epochs and --decay-epochs must add up to at least 1")
        if self.decay_steps and not self.steps:
            raise UsageError("--decay-steps needs --steps")
        self._check_sizes()
        self._check_channels()

    def _check_sizes(self) -> None:
        if self.crop_size % 4 or self.crop_size < 32:
            raise UsageError("--crop-size must be a multiple of 4 and at least 32")
        if self.preprocess == "resize-and-crop" and self.load_size < self.crop_size:
            raise UsageError(f"--load-size must be at least --crop-size ({self.crop_size})")
        multiple = self.generator_config.multiple  # raises for an unknown generator
        if self.crop_size % multiple:
            raise UsageError(f"--crop-size must be a multiple of {multiple} for {self.generator}")
        if self.discriminator == "projected" and self.crop_size % 16:
            raise UsageError("--crop-size must be a multiple of 16 for --discriminator projected")

    def _check_channels(self) -> None:
        if not {self.channels_a, self.channels_b} <= {1, 3}:
            raise UsageError("--channels-a and --channels-b must be 1 or 3")
        if (
            self.channels_a != self.channels_b
            and self.method == "cyclegan"
            and (self.lambda_identity > 0)
        ):
            raise UsageError(
                "--lambda-identity must be 0 where A and B have different channels: no image of "
                "one can be its own translation"
            )
        channel_counts = {self.channels_a, self.channels_b}
        if self.discriminator == "projected" and (
            channel_counts != {3} or self.method != "cyclegan"
        ):
            raise UsageError("--discriminator projected judges colour images of cyclegan only")

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Those that are learned."""
        if self.method == "cyclegan":
            return DIRECTIONS
        return ("AtoB",) if self.direction == "AtoB" else ("BtoA",)

    def generator_config_for(self, direction: Direction) -> GeneratorConfig:
        """The generator of one direction."""
        if self.generator_json is not None:
            return GeneratorConfig.from_json(self.generator_json)
        channels = (self.channels_a, self.channels_b)
        a, b = channels if direction == "AtoB" else channels[::-1]
        return GeneratorConfig(
            self.generator,
            self.ngf,
            a,
            b,
            norm=self.norm,
            dropout=self.dropout,
            block=self.block,
            bias=self.norm != "batch",  # whose shift does the same
            learn_residual=self.learn_residual,
            upsampling=self.upsampling,
        )

    @property
    def generator_config(self) -> GeneratorConfig:
        """Of the direction A to B."""
        return self.generator_config_for("AtoB")

    @property
    def discriminator_norm(self) -> str:
        """Of PatchGAN: the generators' kind, as in the reference; without norms there it keeps
        its own, for the scale of its verdicts would be anybody's."""
        return "instance" if self.norm == "none" else self.norm

    @property
    def cycle_weights(self) -> tuple[float, float]:
        """Of A -> B -> A, and of B -> A -> B."""
        a, b = self.lambda_a, self.lambda_b
        weight = self.lambda_cycle
        return weight if a is None else a, weight if b is None else b

    @property
    def inference_size(self) -> int:
        """The side at which things are as large as in training: --load-size, rounded down to a
        multiple of 32 (286 is 256, as the paper tests), or of what a U-Net needs."""
        step = max(32, self.generator_config.multiple)
        side = self.crop_size if self.preprocess in ("crop", "none") else self.load_size
        return max(step, side // step * step)

    @property
    def lr_schedule(self) -> LRSchedule:
        """In steps where the run is measured in steps, else in epochs."""
        hold, decay = (
            (self.steps, self.decay_steps) if self.steps else (self.epochs, self.decay_epochs)
        )
        return LRSchedule(self.schedule, hold, decay, self.step_every)

    @property
    def schedule_length(self) -> int:
        """Epochs of the run; its steps where it is measured in steps."""
        return self.lr_schedule.hold + self.lr_schedule.decay

    def architecture(self, direction: Direction = "AtoB") -> dict[str, Any]:
        """A generator as plain JSON types."""
        return self.generator_config_for(direction).to_json()

    def test_folder(self, direction: Direction) -> Path | None:
        """A folder with images of the domain that a direction begins at, none of them seen."""
        return Path(self.data) / ("testA" if direction == "AtoB" else "testB")

    def with_changes(self, changes: dict[str, Any]) -> TrainConfig:
        """This run going on with other settings. Raises UsageError for one that is not SAFE."""
        changed = {name: value for name, value in changes.items() if value != getattr(self, name)}
        refused = [
            f"--{name.replace('_', '-')} ({getattr(self, name)} to {value})"
            for name, value in changed.items()
            if name not in self.changeable_on_resume
        ]
        if refused:
            raise UsageError(
                f"a run cannot go on with another {', '.join(refused)}; start a new one, with "
                "--init-from its latest.pth to keep what it has learned"
            )
        return dataclasses.replace(self, **changed)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types, for the checkpoint."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TrainConfig:
        """The inverse of `to_json`; what an older version did not know has its default.
        Raises CheckpointError on fields that this version does not know."""
        values = {_OLD_FIELDS.get(name, name): value for name, value in values.items()}
        if values.get("block") == "mobile":
            values["block"] = "separable"
        unknown = set(values) - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise CheckpointError(
                f"the checkpoint has unknown settings ({', '.join(sorted(unknown))}); "
                "it was written by a newer version of cgt"
            )
        return cls(**values)


def _check_setting(is_valid: bool, name: str, requirement: str) -> None:
    if not is_valid:
        raise UsageError(f"--{name.replace('_', '-')} {requirement}")
