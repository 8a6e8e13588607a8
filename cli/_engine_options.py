"""Click options of `cgt export` for formats and engine builds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from cgt.export.formats import FORMATS, TRITON_BACKENDS, BuildOptions

_CommandT = TypeVar("_CommandT", bound=Callable[..., object])


def _parse_capabilities(
    _ctx: click.Context, _param: click.Parameter, text: str | None
) -> tuple[int, ...]:
    try:
        return tuple(int(item.replace(".", "")) for item in text.split(",")) if text else ()
    except ValueError:
        raise click.BadParameter(f"{text} is not like 86 or 75,86,89,120") from None


_ENGINE_OPTIONS = (
    click.option(
        "--format",
        "formats",
        type=click.Choice(list(FORMATS)),
        multiple=True,
        help="Format to write; may be repeated. Default: ONNX, and a TensorRT engine if this "
        "machine can build one.",
    ),
    click.option(
        "--compute-capability",
        "compute_capabilities",
        callback=_parse_capabilities,
        metavar="75,86,...",
        help="GPUs that a TensorRT-RTX engine is for (default: this machine's GPU).",
    ),
    click.option(
        "--workspace",
        type=click.IntRange(1),
        metavar="MIB",
        help="Scratch memory of a TensorRT engine.",
    ),
    click.option(
        "--timing-cache",
        type=click.Path(path_type=Path),
        help="File with kernel timings of earlier TensorRT builds, which speeds up the next one.",
    ),
    click.option(
        "--dla", type=click.IntRange(0), metavar="CORE", help="Use this DLA core of a Jetson."
    ),
    click.option(
        "--hardware-compatible",
        is_flag=True,
        help="Build a TensorRT engine for every GPU from Ampere on.",
    ),
    click.option(
        "--version-compatible",
        is_flag=True,
        help="Build an engine for later TensorRT of the same major version.",
    ),
    click.option(
        "--eval-images",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Images for the comparison with PyTorch (default: the checkpoint's test images).",
    ),
    click.option(
        "--backend",
        "backends",
        type=click.Choice(TRITON_BACKENDS),
        multiple=True,
        help="Triton backend of a model repository; may be repeated (default: all that fit).",
    ),
)


def add_engine_options(command: _CommandT) -> _CommandT:
    """Add --format and an option for each field of BuildOptions."""
    for option in reversed(_ENGINE_OPTIONS):
        command = option(command)
    return command


def pop_build_options(values: dict[str, object]) -> BuildOptions:
    """Remove the fields of BuildOptions from a command's values and return them."""
    names = list(BuildOptions.__dataclass_fields__)
    return BuildOptions(**{name: values.pop(name) for name in names})  # type: ignore[arg-type]
