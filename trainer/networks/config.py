"""Generator architecture config, as stored in checkpoints and model metadata."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from cgt.runtime.errors import CheckpointError, UsageError

NORMS = ("instance", "instance_affine", "batch", "none")
STUDENT_NORMS = (*NORMS, "batch_film")
UPSAMPLINGS = ("transposed", "resize")
# Supported for checkpoints of other trainers only.
IMPORTED_UPSAMPLINGS = (*UPSAMPLINGS, "antialias", "convolve_resize")
DOWNSAMPLINGS = ("strided", "antialias")
BLOCKS = ("plain", "separable")
PADDINGS = ("reflect", "replicate", "zero")
OUTPUT_ACTIVATIONS = ("tanh", "sigmoid", "none")
ACTIVATIONS = ("relu", "leaky_relu", "leaky_relu_0.01", "elu", "gelu", "silu")
BLOCK_ORDERS = ("norm_first", "activation_first", "activation_last", "activation_only")
INTERPOLATIONS = ("nearest", "bilinear")
VALUE_RANGES = {"-1..1": (-1.0, 1.0), "0..1": (0.0, 1.0), "0..255": (0.0, 255.0)}
_GROUP_NORM_RE = re.compile(r"group(_of_)?([1-9]\d{0,3})")

# Field names and values in files written before version 0.1.0.
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
    """Complete description of a generator except for its weights.

    The defaults are those of the CycleGAN paper. The fields after `out_channels` are the points in
    which published checkpoints differ. A family ignores the fields that do not apply to it.

    Attributes:
        kind: "resnetN" or "studentN" with N residual blocks, or "unetS", a U-Net that reduces an
            image of S x S pixels (a power of 2, at least 8) to one pixel.
        ngf: Width (channels) of the first layer.
        in_channels: Channels of the input image.
        out_channels: Channels of the output image.
        norm: One of STUDENT_NORMS. Only students support "batch_film" (see student.py). Imported
            ResNets also support group norms: "group8" has 8 groups, "group_of_2" has groups of 2
            channels.
        learn_residual: Whether the network predicts a change to its input (Kupyn et al. 2018).
        color_transform: Students only: whether that change includes a global color transform.
        upsampling: One of IMPORTED_UPSAMPLINGS. "resize" repeats pixels, which avoids checkerboard
            artifacts (Odena et al. 2016). "convolve_resize" convolves first.
        downsampling: One of DOWNSAMPLINGS. "antialias" blurs before dropping every second pixel.
        block: One of BLOCKS. "separable" means depthwise and pointwise convolutions.
        dropout: Whether the blocks have dropout with probability 1/2, active in training only.
        bias: Whether convolutions followed by a norm have a bias.
        n_downsampling: Number of stride-2 stages of a ResNet or a student.
        shuffle_factor: Students only: pixel (un)shuffle factor at the input and output.
        widths: Channels of each stage (see `stage_widths`); empty means multiples of ngf.
        sampling_kernel: Kernel size of the down- and upsampling convolutions, 3 or 4.
        stem_kernel: Kernel size of the first and last convolution; 4 gives them stride 2 (ResNet).
        residual: Whether ResNet blocks add their input.
        no_stem_norm: Whether to omit the norm and the ReLU after the first convolution.
        stem_activation: Whether `no_stem_norm` keeps the ReLU.
        stem_padding: Padding of the first and last convolution, one of PADDINGS.
        padding: Padding of the blocks, one of PADDINGS.
        down_padding: Padding of the downsampling convolutions, one of PADDINGS.
        up_padding: Padding of "resize" and "antialias" upsampling, one of PADDINGS.
        output_activation: One of OUTPUT_ACTIVATIONS. "sigmoid" is rescaled to [-1, 1].
        activation: Hidden activation of a ResNet, one of ACTIVATIONS. "leaky_relu" has slope 0.2.
        block_order: Layers of a ResNet block, one of BLOCK_ORDERS. "norm_first" is convolution,
            norm, activation, convolution, norm. "activation_first" has an activation before each
            norm. "activation_last" is norm_first with an activation after the addition.
            "activation_only" is convolution, activation, twice.
        interpolation: Interpolation of "resize" and "convolve_resize", one of INTERPOLATIONS.
        value_range: Range of images inside a ResNet, a key of VALUE_RANGES. Inputs and outputs of
            the module are in [-1, 1] in any case.

    Raises:
        UsageError: If a field has an unsupported value or fields contradict each other.
    """

    kind: str = "resnet9"
    ngf: int = 64
    in_channels: int = 3
    out_channels: int = 3
    norm: str = "instance"
    learn_residual: bool = False
    color_transform: bool = False
    upsampling: str = "transposed"
    downsampling: str = "strided"
    block: str = "plain"
    dropout: bool = False
    bias: bool = True
    n_downsampling: int = 2
    shuffle_factor: int = 1
    widths: tuple[int, ...] = ()
    sampling_kernel: int = 3
    stem_kernel: int = 7
    residual: bool = True
    no_stem_norm: bool = False
    stem_padding: str = "reflect"
    padding: str = "reflect"
    down_padding: str = "zero"
    up_padding: str = "reflect"
    output_activation: str = "tanh"
    stem_activation: bool = False
    activation: str = "relu"
    block_order: str = "norm_first"
    interpolation: str = "nearest"
    value_range: str = "-1..1"

    def __post_init__(self) -> None:
        self.levels  # noqa: B018  (raises for an unknown kind)
        for name, allowed in (
            ("norm", (self.norm,) if self._is_group_norm else STUDENT_NORMS),
            ("activation", ACTIVATIONS),
            ("block_order", BLOCK_ORDERS),
            ("interpolation", INTERPOLATIONS),
            ("value_range", tuple(VALUE_RANGES)),
            ("upsampling", IMPORTED_UPSAMPLINGS),
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
                "shuffle_factor, color_transform and the norm batch_film need a student (studentN)"
            )
        if self.color_transform and not self.learn_residual:
            raise UsageError(
                "color_transform changes the input of the network: it needs learn_residual"
            )
        if self.learn_residual and self.in_channels != self.out_channels:
            raise UsageError("--learn-residual needs as many channels out as in")
        stages = len(self._default_widths())
        if self.widths and (len(self.widths) != stages or min(self.widths) < 1):
            raise UsageError(f"a {self.kind} generator has {stages} widths of at least 1")

    @property
    def family(self) -> str:
        """Return "resnet", "student" or "unet". Raises UsageError for any other kind."""
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
        """Return "instance" (affine or not), "group", "batch", "batch_film" or "none"."""
        return "group" if self._is_group_norm else self.norm.removesuffix("_affine")

    @property
    def _is_group_norm(self) -> bool:
        return self.family == "resnet" and bool(_GROUP_NORM_RE.fullmatch(self.norm))

    @property
    def blocks(self) -> int:
        """Return the number of residual blocks; 0 for a U-Net."""
        family, number = self._family_and_number
        return number if family != "unet" else 0

    @property
    def levels(self) -> int:
        """Return the number of stride-2 stages, not counting the pixel unshuffle."""
        family, number = self._family_and_number
        return self.n_downsampling if family != "unet" else number.bit_length() - 1

    @property
    def multiple(self) -> int:
        """Return the number of which image height and width must be multiples."""
        strided_stem = self.family == "resnet" and self.stem_kernel % 2 == 0
        return self.shuffle_factor << self.levels + strided_stem

    def _default_widths(self) -> tuple[int, ...]:
        ngf, levels = self.ngf, self.levels
        if self.family == "unet":
            return tuple(ngf * min(1 << level, 8) for level in range(levels))
        down = [ngf << level for level in range(levels + 1)]
        return (*down, *[down[-1]] * self.blocks, *reversed(down[:-1]))

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """Return the channels after each stage.

        ResNet and student: the first convolution, each downsampling stage, the layer between the
        two convolutions of each block, each upsampling stage. U-Net: each downsampling stage.
        """
        return self.widths or self._default_widths()

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return dataclasses.asdict(self) | {"widths": list(self.widths)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> GeneratorConfig:
        """Restore a config from `to_json`, including files written before version 0.1.0.

        Raises:
            CheckpointError: If there are fields that this version does not know.
        """
        values = {_OLD_FIELDS.get(name, name): value for name, value in values.items()}
        for name, old_values in _OLD_VALUES.items():
            if name in values:
                values[name] = old_values.get(values[name], values[name])
        _reject_unknown_fields(cls, values, "the description of a generator")
        return cls(**(values | {"widths": tuple(values.get("widths", ()))}))


def group_count(norm: str, channels: int) -> int:
    """Return the number of groups of a group norm such as "group8" or "group_of_2".

    Raises:
        UsageError: The channels cannot be divided into such groups.
    """
    match = _GROUP_NORM_RE.fullmatch(norm)
    assert match
    number = int(match[2])
    if channels % number:
        raise UsageError(f"{channels} channels cannot be normalized in groups as in {norm}")
    return channels // number if match[1] else number


def _reject_unknown_fields(cls: Any, values: dict[str, Any], source: str) -> None:
    unknown = set(values) - {field.name for field in dataclasses.fields(cls)}
    if unknown:
        raise CheckpointError(
            f"{source} has unknown settings ({', '.join(sorted(unknown))}); "
            "it was written by a newer version of cgt"
        )
