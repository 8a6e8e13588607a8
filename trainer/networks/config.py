"""The description of a generator: what a checkpoint or a model file says of its network."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from cgt.runtime.errors import CheckpointError, UsageError

NORMS = ("instance", "instance_affine", "batch", "batch_film", "none")
UPSAMPLINGS = ("transposed", "resize", "antialias")
DOWNSAMPLINGS = ("strided", "antialias")
BLOCKS = ("plain", "separable")
PADDINGS = ("reflect", "replicate", "zero")
OUTPUT_ACTIVATIONS = ("tanh", "sigmoid", "none")

# How files written before 0.1.0 spell fields and values.
_OLD_FIELDS = {
    "tone": "color_transform",
    "halvings": "n_downsampling",
    "patch": "shuffle_factor",
    "kernel": "sampling_kernel",
    "ends_kernel": "stem_kernel",
    "ends_padding": "stem_padding",
    "bare_first": "no_stem_norm",
    "output": "output_activation",
}
_OLD_VALUES = {"norm": {"steered": "batch_film"}, "block": {"mobile": "separable"}}


@dataclass(frozen=True)
class GeneratorConfig:
    """A generator, described so that its weights alone are missing.

    Beyond width and channels, the defaults are those of the paper; the rest is what published
    checkpoints differ in. Fields that a kind does not have are ignored.
    """

    # resnetN, studentN: N residual blocks; unetS: as deep as SxS allows, 2^k
    kind: str = "resnet9"
    ngf: int = 64  # width of the first layer
    in_channels: int = 3
    out_channels: int = 3
    norm: str = "instance"  # "batch_film": of students, see networks/student.py
    learn_residual: bool = False  # answers with a change to its input (Kupyn et al. 2018)
    color_transform: bool = (
        False  # of a student: and with a map of the picture's colours, see student.py
    )
    upsampling: str = "transposed"  # "resize" repeats pixels: no checkerboard (Odena 2016)
    downsampling: str = "strided"  # "antialias": blurred before every second pixel is dropped
    block: str = "plain"  # "separable": depth-wise and point-wise convolutions
    dropout: bool = False  # has the slot; acts in training only, with probability 1/2
    bias: bool = True  # of the convolutions that a norm follows
    n_downsampling: int = 2  # of a ResNet or a student
    shuffle_factor: int = 1  # of a student: sides of the squares of pixels that it takes as one
    widths: tuple[int, ...] = ()  # see stage_widths; empty: multiples of ngf
    sampling_kernel: int = 3  # of the convolutions that halve and double; 3 or 4
    stem_kernel: int = 7  # of the first and the last convolution; of a ResNet, 4: they halve, too
    residual: bool = True  # the blocks of a ResNet add their input
    no_stem_norm: bool = False  # neither norm nor ReLU after the first convolution
    stem_padding: str = "reflect"
    padding: str = "reflect"  # of the blocks
    down_padding: str = "zero"
    up_padding: str = "reflect"  # of "resize" and "antialias"
    output_activation: str = "tanh"  # "sigmoid" is brought from [0, 1] to [-1, 1]

    def __post_init__(self) -> None:
        self.levels  # noqa: B018  (raises for an unknown kind)
        for name, allowed in (
            ("norm", NORMS),
            ("upsampling", UPSAMPLINGS),
            ("downsampling", DOWNSAMPLINGS),
            ("block", BLOCKS),
            ("stem_padding", PADDINGS),
            ("padding", PADDINGS),
            ("down_padding", PADDINGS),
            ("up_padding", PADDINGS),
            ("output_activation", OUTPUT_ACTIVATIONS),
        ):
            if getattr(self, name) not in allowed:
                raise UsageError(f"a generator's {name} must be one of {', '.join(allowed)}")
        counts = (
            self.ngf,
            self.in_channels,
            self.out_channels,
            self.n_downsampling,
            self.shuffle_factor,
        )
        if min(counts) < 1:
            raise UsageError(
                "a generator's ngf, channels, n_downsampling and shuffle_factor must be at least 1"
            )
        if self.family == "student":
            if self.stem_kernel % 2 == 0 or self.shuffle_factor & (self.shuffle_factor - 1):
                raise UsageError(
                    "a student's stem_kernel must be odd and its shuffle_factor a power of 2"
                )
        elif self.stem_kernel % 2 == 0 and self.stem_kernel != 4:
            raise UsageError("a generator's stem_kernel must be odd, or 4")
        elif self.shuffle_factor > 1 or self.norm == "batch_film" or self.color_transform:
            raise UsageError(
                "shuffle_factor, color_transform and the norm batch_film are for students (studentN)"
            )
        if self.color_transform and not self.learn_residual:
            raise UsageError(
                "color_transform is a part of a change to the input: it needs learn_residual"
            )
        if self.learn_residual and self.in_channels != self.out_channels:
            raise UsageError("--learn-residual needs as many channels out as in")
        stages = len(self._default_widths())
        if self.widths and (len(self.widths) != stages or min(self.widths) < 1):
            raise UsageError(f"a {self.kind} generator has {stages} widths of at least 1")

    @property
    def family(self) -> str:
        """ "resnet", "student" or "unet". Raises UsageError for any other kind."""
        return self._family_and_number[0]

    @property
    def _family_and_number(self) -> tuple[str, int]:
        match = re.fullmatch(r"(resnet|student|unet)([1-9]\d{0,3})", self.kind)
        if match:
            family, number = match[1], int(match[2])
            power_of_two = number & (number - 1) == 0
            if number >= 8 and power_of_two if family == "unet" else number < 100:
                return family, number
        raise UsageError(
            f"generator {self.kind!r} is unknown; use resnetN (resnet6, resnet9), "
            "studentN, or unetS (unet128, unet256)"
        )

    @property
    def norm_kind(self) -> str:
        """ "instance", affine or not, "batch", "batch_film" or "none"."""
        return self.norm.removesuffix("_affine")

    @property
    def blocks(self) -> int:
        """Residual blocks; 0 in a U-Net."""
        family, number = self._family_and_number
        return number if family != "unet" else 0

    @property
    def levels(self) -> int:
        """How often it halves the resolution, after its patches have."""
        family, number = self._family_and_number
        return self.n_downsampling if family != "unet" else number.bit_length() - 1

    @property
    def multiple(self) -> int:
        """Both sides of its images must be multiples of this."""
        halving_ends = self.family == "resnet" and self.stem_kernel % 2 == 0
        return self.shuffle_factor << self.levels + halving_ends

    def _default_widths(self) -> tuple[int, ...]:
        ngf, levels = self.ngf, self.levels
        if self.family == "unet":
            return tuple(ngf * min(1 << level, 8) for level in range(levels))
        down = [ngf << level for level in range(levels + 1)]
        return (*down, *[down[-1]] * self.blocks, *reversed(down[:-1]))

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """Channels after each stage. ResNet, student: the first convolution, each halving,
        between the two convolutions of each block, each doubling. U-Net: each halving."""
        return self.widths or self._default_widths()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return dataclasses.asdict(self) | {"widths": list(self.widths)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> GeneratorConfig:
        """The inverse of `to_json`. Raises CheckpointError on what this version does not know."""
        values = {_OLD_FIELDS.get(name, name): value for name, value in values.items()}
        for name, old_values in _OLD_VALUES.items():
            if name in values:
                values[name] = old_values.get(values[name], values[name])
        _reject_unknown_fields(cls, values, "the description of a generator")
        return cls(**(values | {"widths": tuple(values.get("widths", ()))}))


def _reject_unknown_fields(cls: Any, values: dict[str, Any], source: str) -> None:
    unknown = set(values) - {field.name for field in dataclasses.fields(cls)}
    if unknown:
        raise CheckpointError(
            f"{source} has unknown settings ({', '.join(sorted(unknown))}); "
            "it was written by a newer version of cgt"
        )
