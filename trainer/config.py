"""The one description of a training run: what the flags say, what the checkpoint keeps."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from cgt.runtime.errors import CheckpointError, UsageError

PRECISIONS = ("auto", "fp32", "bf16")
DISCRIMINATORS = ("patch", "projected")
NORMS = ("instance", "none")
UPSAMPLINGS = ("transposed", "resize")


@dataclass(frozen=True)
class GeneratorConfig:
    """A generator: "resnetN" (N residual blocks at a quarter of the resolution), its width and
    channels. learn_residual: it answers with a change to its input (Kupyn et al. 2018).
    upsampling: "resize" repeats pixels and convolves, so there is no checkerboard (Odena 2016)."""

    kind: str = "resnet9"
    ngf: int = 64
    in_channels: int = 3
    out_channels: int = 3
    norm: str = "instance"
    learn_residual: bool = False
    upsampling: str = "transposed"

    @property
    def blocks(self) -> int:
        """Residual blocks. Raises UsageError for a kind that is not resnetN."""
        match = re.fullmatch(r"resnet([1-9]\d?)", self.kind)
        if not match:
            raise UsageError(f"generator {self.kind!r} is unknown; use resnet6 or resnet9")
        return int(match[1])


@dataclass(frozen=True)
class TrainConfig:
    """A training run. Defaults are those of the paper (Zhu et al. 2017, section 4 and appendix)."""

    data: str
    generator: str = "resnet9"
    ngf: int = 64
    ndf: int = 64
    norm: str = "instance"
    learn_residual: bool = False
    upsampling: str = "transposed"
    discriminator: str = "patch"
    lambda_cycle: float = 10.0
    lambda_identity: float = 0.5  # multiplies lambda_cycle
    pool_size: int = 50
    epochs: int = 100  # at the full learning rate
    decay_epochs: int = 100  # of linear decay to zero after that
    batch_size: int = 1
    lr: float = 2e-4
    load_size: int = 286
    crop_size: int = 256
    ema: float = 0.0  # decay per step of the generators' moving average; 0: none
    precision: str = "auto"
    seed: int = 0
    threads: int = 0  # 0: as many as PyTorch takes by itself
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("ngf", "ndf", "batch_size", "crop_size", "load_size"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name.replace('_', '-')} must be at least 1")
        for name in ("lambda_cycle", "lambda_identity", "pool_size", "decay_epochs", "threads"):
            if getattr(self, name) < 0:
                raise UsageError(f"--{name.replace('_', '-')} must not be negative")
        if not 0 <= self.ema < 1:
            raise UsageError("--ema must be at least 0 and below 1")
        if self.lr <= 0:
            raise UsageError("--lr must be positive")
        if self.epochs < 0 or self.epochs + self.decay_epochs < 1:
            raise UsageError("--epochs and --decay-epochs must add up to at least 1")
        if self.crop_size % 4 or self.crop_size < 32:
            raise UsageError("--crop-size must be a multiple of 4 and at least 32")
        if self.load_size < self.crop_size:
            raise UsageError(f"--load-size must be at least --crop-size ({self.crop_size})")
        if self.precision not in PRECISIONS:
            raise UsageError(f"--precision must be one of {', '.join(PRECISIONS)}")
        if self.norm not in NORMS:
            raise UsageError(f"--norm must be one of {', '.join(NORMS)}")
        if self.upsampling not in UPSAMPLINGS:
            raise UsageError(f"--upsampling must be one of {', '.join(UPSAMPLINGS)}")
        if self.discriminator not in DISCRIMINATORS:
            raise UsageError(f"--discriminator must be one of {', '.join(DISCRIMINATORS)}")
        if self.discriminator == "projected" and self.crop_size % 16:
            raise UsageError("--crop-size must be a multiple of 16 for --discriminator projected")
        self.generator_config.blocks  # noqa: B018  (raises for an unknown generator)

    @property
    def generator_config(self) -> GeneratorConfig:
        return GeneratorConfig(
            self.generator,
            self.ngf,
            norm=self.norm,
            learn_residual=self.learn_residual,
            upsampling=self.upsampling,
        )

    @property
    def serving_size(self) -> int:
        """The side at which things are as large as in training: --load-size, rounded down to a
        multiple of 32 (286 is 256, as the paper tests)."""
        return max(32, self.load_size // 32 * 32)

    def architecture(self) -> dict[str, Any]:
        """The generator as plain JSON types."""
        return dataclasses.asdict(self.generator_config)

    @property
    def total_epochs(self) -> int:
        return self.epochs + self.decay_epochs

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types, for the checkpoint."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TrainConfig:
        """The inverse of `to_json`. Raises CheckpointError on fields this version does not know."""
        unknown = set(values) - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise CheckpointError(
                f"the checkpoint has unknown settings ({', '.join(sorted(unknown))}); "
                "it was written by a newer version of cgt"
            )
        return cls(**values)
