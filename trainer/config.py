"""Training config: the settings of a run, set by flags and stored in its checkpoints."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from cgt.runtime.errors import CheckpointError, UsageError
from cgt.runtime.models.metadata import DIRECTIONS, Direction
from cgt.runtime.utils.system import available_cpus

from .lr_schedule import LR_SCHEDULES, LRSchedule
from .networks.config import BLOCKS, NORMS, UPSAMPLINGS, GeneratorConfig

# Defaults of each method that differ from TrainConfig's. pix2pix: Isola et al. 2017.
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
    "norm": NORMS,
    "upsampling": UPSAMPLINGS,
    "block": BLOCKS,
    "discriminator": ("patch", "pixel", "projected"),
    "init": ("auto", "normal", "xavier", "kaiming", "orthogonal"),
    "gan_loss": ("lsgan", "vanilla", "hinge"),
    "cycle_loss": ("l1", "l2"),
    "schedule": LR_SCHEDULES,
    "preprocess": ("resize-and-crop", "crop", "scale-width", "scale-short", "none"),
    "on_corrupt": ("fail", "skip"),
    "precision": ("auto", "fp32", "tf32", "bf16", "fp16"),
    "best": ("none", "frechet", "kernel", "cycle_psnr", "psnr", "ssim", "l1"),
}
IMAGES_PER_WORKER = 4

_POSITIVE = (
    *("ngf", "ndf", "batch_size", "accumulate", "crop_size", "load_size", "lr", "d_layers"),
    *("step_every", "eval_every"),
)
_NON_NEGATIVE = (
    *("lambda_cycle", "lambda_identity", "lambda_l1", "pool_size", "epochs", "decay_epochs"),
    *("steps", "decay_steps", "threads", "clip_grad", "cache_mb", "save_every"),
)

# Settings that may change when a run resumes. None of them changes the networks or their targets.
CHANGEABLE_ON_RESUME = frozenset(
    {"data", "threads", "device", "workers", "cache_mb", "save_every", "compile", "on_corrupt"}
    | {"epochs", "decay_epochs", "steps", "decay_steps", "best", "eval_every"}
)

# Field names and values in checkpoints written before version 0.1.0.
_OLD_FIELDS = {"described": "generator_json", "broken": "on_corrupt"}
_OLD_BLOCKS = {"mobile": "separable"}


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a training run.

    The defaults are those of the CycleGAN paper (Zhu et al. 2017, section 4 and appendix);
    `for_method` applies the defaults of other methods.

    Attributes:
        data: Data set folder; see data/folders.py for its structure.
        method: "cyclegan" or "pix2pix".
        direction: "AtoB" or "BtoA": the direction that pix2pix learns. CycleGAN learns both.
        generator_json: A GeneratorConfig as JSON, which replaces the flags of the generator;
            `cgt train --init-from` sets it.
        generator: Kind of the generator, such as "resnet9" or "unet256".
        ngf: Width of the generators' first layer.
        norm: Normalization layers of generators and discriminators.
        dropout: Whether the generators have dropout.
        block: "plain" or "separable" convolutions in residual blocks.
        learn_residual: Whether the generators predict a change to their input.
        upsampling: "transposed" or "resize" convolutions.
        channels_a: Channels of domain A: 1 (gray) or 3 (RGB).
        channels_b: Channels of domain B: 1 (gray) or 3 (RGB).
        discriminator: "patch", "pixel" or "projected".
        ndf: Width of the discriminators' first layer.
        d_layers: Layers of a PatchGAN; with 3, a patch has 70x70 pixels.
        init: Weight initialization, see networks/init.py.
        init_gain: Scale of the initial weights.
        gan_loss: "lsgan", "vanilla" or "hinge".
        cycle_loss: "l1" or "l2".
        lambda_cycle: Weight of the cycle-consistency loss.
        lambda_a: Weight of the losses of domain A's cycle and identity; None: lambda_cycle.
        lambda_b: Weight of the losses of domain B's cycle and identity; None: lambda_cycle.
        lambda_identity: Weight of the identity loss, relative to the weight of the cycle.
        lambda_l1: Weight of pix2pix's L1 loss.
        pool_size: Generated images kept in the history for each discriminator.
        epochs: Epochs at the full learning rate.
        decay_epochs: Epochs after these, over which the learning rate decays to zero.
        steps: Steps at the full learning rate; if not 0, replaces `epochs`.
        decay_steps: Steps of decay; needs `steps`.
        schedule: Learning rate schedule: "linear", "step" or "cosine".
        step_every: Epochs (steps, with `steps`) between the drops of the "step" schedule.
        batch_size: Images per batch and domain, over all processes.
        accumulate: Batches per optimization step.
        lr: Learning rate of Adam.
        beta1: First momentum of Adam.
        clip_grad: Maximum gradient norm of each network; 0: no limit.
        ema: Decay per step of the generators' exponential moving average; 0: no average.
        preprocess: Resizing and cropping mode, see data/transforms.py.
        load_size: Side that images are resized to, in pixels.
        crop_size: Side of the training crops, in pixels.
        flip: Whether half of the crops are mirrored.
        on_corrupt: "fail" or "skip": what to do with files that do not decode.
        workers: Threads that decode images; 0: none; None: see `num_workers`.
        cache_mb: Limit of the decoded images kept in memory, in MiB.
        precision: "auto", "fp32", "tf32", "bf16" or "fp16".
        channels_last: Whether networks use the channels-last memory format.
        compile: Whether to compile the networks by torch.compile.
        deterministic: Whether to use deterministic algorithms only.
        seed: Seed of all random numbers.
        threads: CPU threads of PyTorch; 0: PyTorch's default.
        device: PyTorch device, or "auto".
        save_every: Epochs between permanent checkpoints; 0: only the latest is kept.
        best: Metric that selects best.pth, or "none".
        eval_every: Epochs between evaluations of that metric.

    Raises:
        UsageError: If a setting is out of range or settings contradict each other.
    """

    choices: ClassVar[dict[str, tuple[str, ...]]] = CHOICES
    changeable_on_resume: ClassVar[frozenset[str]] = CHANGEABLE_ON_RESUME

    data: str
    method: str = "cyclegan"
    direction: str = "AtoB"
    generator_json: dict[str, Any] | None = None

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
    d_layers: int = 3
    init: str = "auto"
    init_gain: float = 0.02

    gan_loss: str = "lsgan"
    cycle_loss: str = "l1"
    lambda_cycle: float = 10.0
    lambda_a: float | None = None
    lambda_b: float | None = None
    lambda_identity: float = 0.5
    lambda_l1: float = 100.0
    pool_size: int = 50

    epochs: int = 100
    decay_epochs: int = 100
    steps: int = 0
    decay_steps: int = 0
    schedule: str = "linear"
    step_every: int = 50
    batch_size: int = 1
    accumulate: int = 1
    lr: float = 2e-4
    beta1: float = 0.5
    clip_grad: float = 0.0
    ema: float = 0.0

    preprocess: str = "resize-and-crop"
    load_size: int = 286
    crop_size: int = 256
    flip: bool = True
    on_corrupt: str = "fail"
    workers: int | None = None
    cache_mb: int = 1024

    precision: str = "auto"
    channels_last: bool = False
    compile: bool = False
    deterministic: bool = False
    seed: int = 0
    threads: int = 0
    device: str = "auto"

    save_every: int = 0
    best: str = "none"
    eval_every: int = 5

    @classmethod
    def for_method(cls, method: str = "cyclegan", **settings: Any) -> TrainConfig:
        """Create a config with the defaults of a method's paper.

        Args:
            method: "cyclegan" or "pix2pix".
            **settings: Fields of the config that differ from these defaults.

        Raises:
            UsageError: If a setting is invalid.
        """
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
        _check_setting(self.workers is None or self.workers >= 0, "workers", "must not be negative")
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
                "--lambda-identity must be 0 if A and B have different channels, because an image "
                "cannot be its own translation"
            )
        channel_counts = {self.channels_a, self.channels_b}
        if self.discriminator == "projected" and (
            channel_counts != {3} or self.method != "cyclegan"
        ):
            raise UsageError(
                "--discriminator projected supports only RGB images and --method cyclegan"
            )

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Return the directions that the run learns."""
        if self.method == "cyclegan":
            return DIRECTIONS
        return ("AtoB",) if self.direction == "AtoB" else ("BtoA",)

    def generator_config_for(self, direction: Direction) -> GeneratorConfig:
        """Return the architecture of the generator of one direction."""
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
            bias=self.norm != "batch",  # the shift of a batch norm makes a bias redundant
            learn_residual=self.learn_residual,
            upsampling=self.upsampling,
        )

    @property
    def generator_config(self) -> GeneratorConfig:
        """Return the architecture of the generator from A to B."""
        return self.generator_config_for("AtoB")

    @property
    def discriminator_norm(self) -> str:
        """Return the norm of the discriminators.

        It is the norm of the generators, as in the reference implementation. If the generators have
        none, the discriminators use instance norms, because the scale of their logits would
        otherwise be arbitrary.
        """
        return "instance" if self.norm == "none" else self.norm

    @property
    def cycle_weights(self) -> tuple[float, float]:
        """Return the weights of the cycles A -> B -> A and B -> A -> B."""
        a, b = self.lambda_a, self.lambda_b
        weight = self.lambda_cycle
        return weight if a is None else a, weight if b is None else b

    @property
    def inference_size(self) -> int:
        """Return the image side, in pixels, at which objects are as large as in training.

        It is --load-size rounded down to a multiple of 32 (286 becomes 256, the test size of the
        paper) or of the size that a U-Net needs.
        """
        step = max(32, self.generator_config.multiple)
        side = self.crop_size if self.preprocess in ("crop", "none") else self.load_size
        return max(step, side // step * step)

    def num_workers(self, world_size: int = 1) -> int:
        """Return the number of threads that decode images in each process.

        Unless `workers` sets it, there is one for every IMAGES_PER_WORKER images of a step.

        Args:
            world_size: Number of processes that share the batch.
        """
        if self.workers is not None:
            return self.workers
        images = 2 * self.batch_size * self.accumulate // world_size
        return max(1, min(available_cpus(), images // IMAGES_PER_WORKER))

    @property
    def lr_schedule(self) -> LRSchedule:
        """Return the learning rate schedule, in steps if `steps` is set, otherwise in epochs."""
        hold, decay = (
            (self.steps, self.decay_steps) if self.steps else (self.epochs, self.decay_epochs)
        )
        return LRSchedule(self.schedule, hold, decay, self.step_every)

    @property
    def schedule_length(self) -> int:
        """Return the length of the run, in steps if `steps` is set, otherwise in epochs."""
        return self.lr_schedule.hold + self.lr_schedule.decay

    def architecture(self, direction: Direction = "AtoB") -> dict[str, Any]:
        """Return the architecture of a generator as plain JSON types."""
        return self.generator_config_for(direction).to_json()

    def test_folder(self, direction: Direction) -> Path | None:
        """Return the folder of test images of a direction's source domain."""
        return Path(self.data) / ("testA" if direction == "AtoB" else "testB")

    def with_changes(self, changes: dict[str, Any]) -> TrainConfig:
        """Return the config of a resumed run with changed settings.

        Args:
            changes: Fields and their new values.

        Raises:
            UsageError: If a changed setting is not in `changeable_on_resume`.
        """
        changed = {name: value for name, value in changes.items() if value != getattr(self, name)}
        refused = [
            f"--{name.replace('_', '-')} ({getattr(self, name)} to {value})"
            for name, value in changed.items()
            if name not in self.changeable_on_resume
        ]
        if refused:
            raise UsageError(
                f"a run cannot resume with a different {', '.join(refused)}; start a new run with "
                "--init-from its latest.pth to keep the trained weights"
            )
        return dataclasses.replace(self, **changed)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TrainConfig:
        """Restore a config from `to_json`, including checkpoints of older versions.

        Fields that the older version lacks get their defaults.

        Raises:
            CheckpointError: If there are fields that this version does not know.
        """
        values = {_OLD_FIELDS.get(name, name): value for name, value in values.items()}
        if "block" in values:
            values["block"] = _OLD_BLOCKS.get(values["block"], values["block"])
        unknown = set(values) - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise CheckpointError(
                f"the checkpoint has unknown settings ({', '.join(sorted(unknown))}); "
                "it was written by a newer version of cgt"
            )
        return cls(**values)


def reverse_direction(direction: Direction) -> Direction:
    """Return "BtoA" for "AtoB" and vice versa."""
    return "BtoA" if direction == "AtoB" else "AtoB"


def _check_setting(is_valid: bool, name: str, requirement: str) -> None:
    if not is_valid:
        raise UsageError(f"--{name.replace('_', '-')} {requirement}")
