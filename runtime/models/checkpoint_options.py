"""Options that settle how a checkpoint of another project is read.

Keys and shapes do not reveal everything about a network. Each field states one property of it.
`cgt.trainer.importers.assumptions` lists the properties that a file leaves open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..utils.options import flag_of, option, options_of

_GROUP = "Checkpoints of other projects"


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
class CheckpointOptions:
    """Options of every command that reads a checkpoint, and keywords in Python.

    None leaves a property to the file. `cgt.trainer.networks.config` has the values.
    """

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
    value_range: str | None = option(
        None,
        "values of images in their training: 0..1 or 0..255",
        _GROUP,
        parse=str,
        metavar="RANGE",
        default_text="",
    )

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
            flag_of(name) if value is True else f"{flag_of(name)} {value}"
            for name, value in self.given.items()
        )

    @property
    def first_flag(self) -> str:
        """Return the flag of the first given field."""
        return flag_of(next(iter(self.given)))

    @property
    def checkpoint_options(self) -> CheckpointOptions:
        """Return these options without those of subclasses."""
        return CheckpointOptions(**self.given)

    @classmethod
    def pop_from(cls, values: dict[str, Any]) -> CheckpointOptions:
        """Remove these options from the values of a command's flags, and return them."""
        taken = {field.name: values.pop(field.name) for field, _ in options_of(CheckpointOptions)}
        return CheckpointOptions(**{k: v for k, v in taken.items() if v is not None})


NO_OPTIONS = CheckpointOptions()
