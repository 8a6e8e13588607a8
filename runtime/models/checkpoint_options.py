"""Options that settle how a checkpoint of another project is read.

Keys and shapes do not reveal everything about a network. Each field states one property of it.
`cgt.trainer.importers.assumptions` lists the properties that a file leaves open.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from ..utils.options import flag_of, option, options_of
from .model_code import ModelCode
from .third_party import MODEL_FORMAT as _GROUP
from .third_party import RangeOption

CODE_FIELDS = ("code", "code_args", "code_path")


def _name_option(help: str, metavar: str = "NAME") -> Any:
    """Return an option whose value is one of a few names; a hyphen means an underscore."""
    return option(
        None,
        help,
        _GROUP,
        parse=lambda text: text.replace("-", "_"),
        metavar=metavar,
        default_text="",
    )


@dataclass(frozen=True, kw_only=True)
class CheckpointOptions(RangeOption):
    """Options of every command that reads a checkpoint, and keywords in Python.

    None leaves a property to the file. `cgt.trainer.networks.config` has the values.

    Raises:
        UsageError: `code` or an option of it is invalid.
    """

    code: str | None = option(
        None,
        "FILE.py:CLASS that builds the network, of another project; this executes the file",
        _GROUP,
        metavar="FILE.py:CLASS",
        default_text="",
    )
    code_args: str | None = option(
        None,
        "arguments of CLASS, such as '3, 3, num_residuals=9'",
        _GROUP,
        metavar="ARGUMENTS",
        default_text="",
    )
    code_path: str | None = option(
        None,
        "folder that the imports of FILE.py start from",
        _GROUP,
        metavar="DIR",
        default_text="its own",
    )
    assume: bool = option(
        False, "accept the printed defaults for all that the file leaves open", _GROUP, kind=bool
    )
    padding: str | None = _name_option(
        "padding of all convolutions: reflect, replicate or zero", "MODE"
    )
    stem_padding: str | None = _name_option(
        "padding of the first and last convolution, if it differs", "MODE"
    )
    down_padding: str | None = _name_option(
        "padding of the stride-2 convolutions, if it differs", "MODE"
    )
    up_padding: str | None = _name_option(
        "padding of the convolutions after resizing, if it differs", "MODE"
    )
    activation: str | None = _name_option(
        "hidden activation: relu, leaky_relu (0.2), leaky_relu_0.01, elu, gelu, silu"
    )
    norm_layer: str | None = _name_option(
        "norm: instance, none, group8 (8 groups), group_of_2 (groups of 2 channels)"
    )
    norm_statistics: str | None = _name_option(
        "statistics of norms: running, or batch (of each image, as test.py of pytorch-CycleGAN)"
    )
    stem: str | None = _name_option(
        "layers after the first convolution: norm (and activation), activation, or bare"
    )
    block_order: str | None = _name_option(
        "order in the blocks: norm_first, activation_first, activation_last (after the addition), "
        "activation_only"
    )
    no_residual: bool = option(False, "the blocks do not add their input", _GROUP, kind=bool)
    blocks: int | None = option(
        None,
        "how often the only residual block of the file is applied",
        _GROUP,
        kind=int,
        minimum=1,
        maximum=99,
        metavar="N",
        default_text="",
    )
    interpolation: str | None = _name_option("upsampling by resizing: nearest or bilinear")
    output_activation: str | None = _name_option("last layer: tanh, sigmoid or none")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.model_code  # noqa: B018  (raises UsageError for invalid values)

    @property
    def given(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults, by name."""
        return {
            field.name: getattr(self, field.name)
            for field, _ in options_of(CheckpointOptions)
            if getattr(self, field.name) != field.default
        }

    @property
    def flags(self) -> str:
        """Return the given fields as flags of a command."""
        return " ".join(
            flag_of(name) if value is True else f"{flag_of(name)} {shlex.quote(str(value))}"
            for name, value in self.given.items()
        )

    @property
    def first_flag(self) -> str:
        """Return the flag of the first given field."""
        return flag_of(next(iter(self.given)))

    @property
    def flag_of_checkpoints(self) -> str:
        """Return a given flag that only checkpoints have; empty without any."""
        return next((flag_of(name) for name in self.given if name != "model_range"), "")

    @property
    def model_code(self) -> ModelCode | None:
        """Return the code that builds the network; None without `code`."""
        ranges = self.model_range if self.code is not None else None
        return ModelCode.parse(self.code, self.code_args, self.code_path, ranges)

    @property
    def without_code(self) -> CheckpointOptions:
        """Return the options to read the file with if its code settles what it leaves open."""
        if self.code is None:
            return self
        given = {name: value for name, value in self.given.items() if name not in CODE_FIELDS}
        return CheckpointOptions(**given | {"assume": True})

    @property
    def checkpoint_options(self) -> CheckpointOptions:
        """Return these options without those of subclasses."""
        return CheckpointOptions(**self.given)


NO_OPTIONS = CheckpointOptions()
