"""The options of `cgt export` that are about formats and engines."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cgt.runtime.errors import UsageError

from .formats import FORMATS, TRITON_BACKENDS, BuildOptions, check_graph_supported, check_options

_CommandT = TypeVar("_CommandT", bound=Callable[..., object])


def _parse_capabilities(
    _ctx: click.Context, _param: click.Parameter, text: str | None
) -> tuple[int, ...]:
    try:
        return tuple(int(part.replace(".", "")) for part in text.split(",")) if text else ()
    except ValueError:
        raise click.BadParameter(f"{text} is not like 86 or 75,86,89,120") from None


_ENGINE_OPTIONS = (
    click.option(
        "--format",
        "formats",
        type=click.Choice(list(FORMATS)),
        multiple=True,
        help="May be given again. By default ONNX, and a TensorRT engine where one can be built.",
    ),
    click.option(
        "--compute-capability",
        "compute_capabilities",
        callback=_parse_capabilities,
        metavar="75,86,...",
        help="GPUs that a TensorRT-RTX engine is for; this machine's by default.",
    ),
    click.option(
        "--workspace", type=click.IntRange(1), metavar="MIB", help="Scratch memory of an engine."
    ),
    click.option(
        "--timing-cache",
        type=click.Path(path_type=Path),
        help="File that remembers which kernels were fastest, for quicker builds.",
    ),
    click.option(
        "--dla", type=click.IntRange(0), metavar="CORE", help="Use this accelerator of a Jetson."
    ),
    click.option(
        "--hardware-compatible", is_flag=True, help="An engine for every GPU from Ampere on."
    ),
    click.option(
        "--version-compatible", is_flag=True, help="An engine for later TensorRT, same major."
    ),
    click.option(
        "--eval-images",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="To compare with the original on; by default the checkpoint's test images.",
    ),
    click.option(
        "--backend",
        "backends",
        type=click.Choice(TRITON_BACKENDS),
        multiple=True,
        help="Of Triton's, for a model repository; may be given again, all that fit by default.",
    ),
)


def add_engine_options(command: _CommandT) -> _CommandT:
    """Adds --format and the fields of BuildOptions, by their names."""
    for option in reversed(_ENGINE_OPTIONS):
        command = option(command)
    return command


def pop_build_options(values: dict[str, object]) -> BuildOptions:
    """Takes the options of `engine_options` but --format out of a command's values."""
    names = list(BuildOptions.__dataclass_fields__)
    return BuildOptions(**{name: values.pop(name) for name in names})  # type: ignore[arg-type]


def split_image_options(
    options: BuildOptions, formats: tuple[str, ...]
) -> tuple[Path | None, BuildOptions]:
    """The pictures that a checkpoint's ONNX file is compared on; and the options, with them where
    an engine is proved on them as well."""
    engine_compared = any("eval_images" in FORMATS[name].options for name in formats)
    return options.eval_images, options if engine_compared else dataclasses.replace(
        options, eval_images=None
    )


def apply_format_defaults(export_options: dict[str, Any], formats: tuple[str, ...]) -> None:
    """What the first format is fastest with, where nothing is said of tensors and precision."""
    spec = FORMATS[formats[0] if formats else "onnx"]
    defaults = []
    if not any(export_options[name] for name in ("fp32", "fp16", "bf16", "int8")):
        export_options[spec.default_precision] = True
        defaults.append(f"--{spec.default_precision}")
    if export_options["io"] is None:
        export_options["io"] = spec.default_io
        defaults.append(f"--io {spec.default_io}")
    if defaults and formats:
        click.echo(f"for {spec.name}: {' '.join(defaults)}")
    chosen = [name for name in ("int8", "mixed", "fp16", "bf16") if export_options[name]]
    for name in formats:
        check_graph_supported(
            FORMATS[name], chosen[0] if chosen else "fp32", export_options["norm"]
        )


def check_formats(formats: tuple[str, ...], options: BuildOptions) -> None:
    """What is wrong with the request is said before a minute is spent on the ONNX file."""
    from .engine import check_buildable

    check_options(formats or ("tensorrt",), options)
    for name in formats:
        check_buildable(name, options)


def plan_onnx_path(output: Path | None, formats: tuple[str, ...]) -> Path | None:
    """Where the ONNX file goes: `-o` says it for all formats, by the name of any of them. Where one
    is a folder, `-o` is that alone."""
    if any(not FORMATS[name].suffix for name in formats):
        if output is not None and output.suffix in {made.suffix for made in FORMATS.values()} - {
            ""
        }:
            raise UsageError(f"the output {output} must be a folder, the model repository")
        return None
    if output is None or output.suffix == ".onnx":
        return output
    suffixes = {FORMATS[name].suffix for name in formats} | {".onnx"}
    if output.suffix not in suffixes:
        raise UsageError(f"the output {output} must end in {' or '.join(sorted(suffixes))}")
    return output.with_suffix(".onnx")


def build_engines(
    model: Path, formats: tuple[str, ...], output: Path | None, options: BuildOptions
) -> None:
    """Build what was asked for, or what can be where nothing was."""
    from .engine import build_engine, unavailable_reason

    if not formats:
        missing = unavailable_reason("tensorrt")
        if missing:
            click.echo(
                f"no TensorRT engine: {missing}; on the machine it is for, run: "
                f"cgt export {model.name} --format tensorrt"
            )
            return
        formats = ("tensorrt",)
    folders = tuple(name for name in formats if not FORMATS[name].suffix)
    files = tuple(name for name in formats if FORMATS[name].builder and name not in folders)
    for name in (*files, *folders):  # a folder takes what the others made
        suffix = FORMATS[name].suffix
        beside = model if folders or output is None else output
        path = beside.with_suffix(suffix) if suffix else output
        build_engine(model, name, path, options.subset(FORMATS[name].options), log=click.echo)
