"""Planning of `cgt export`: defaults of the formats, early checks, output paths, engine builds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cgt.runtime.errors import UsageError
from cgt.runtime.utils.overwrite import refuse_overwriting

from .builders.base import LogFn
from .formats import FORMATS, BuildOptions, check_graph_supported, check_options


def pop_build_options(values: dict[str, Any]) -> BuildOptions:
    """Remove the fields of BuildOptions from a command's values and return them."""
    return BuildOptions(**{name: values.pop(name) for name in BuildOptions.__dataclass_fields__})


def split_image_options(
    options: BuildOptions, formats: tuple[str, ...]
) -> tuple[Path | None, BuildOptions]:
    """Return the images that the ONNX file is compared on, and the build options.

    The build options keep the images only if a format verifies its engine on them.
    """
    if any("eval_images" in FORMATS[name].options for name in formats):
        return options.eval_images, options
    return options.eval_images, dataclasses.replace(options, eval_images=None)


def apply_format_defaults(
    export_options: dict[str, Any], formats: tuple[str, ...], log: LogFn
) -> None:
    """Set the precision and the tensor type that the first format is fastest with.

    Args:
        export_options: Values of the command's options; the ones that are not given are set.
        formats: Names in FORMATS; empty for ONNX.
        log: Receives a line with the defaults that were set.

    Raises:
        UsageError: A format does not take such a graph.
    """
    fmt = FORMATS[formats[0] if formats else "onnx"]
    defaults = []
    if not any(export_options[name] for name in ("fp32", "fp16", "bf16", "int8")):
        export_options[fmt.default_precision] = True
        defaults.append(f"--{fmt.default_precision}")
    if export_options["io"] is None:
        export_options["io"] = fmt.default_io
        defaults.append(f"--io {fmt.default_io}")
    if defaults and formats:
        log(f"defaults of {fmt.name}: {' '.join(defaults)}")
    precisions = [name for name in ("int8", "mixed", "fp16", "bf16") if export_options[name]]
    for name in formats:
        check_graph_supported(
            FORMATS[name], precisions[0] if precisions else "fp32", export_options["norm"]
        )


def check_formats(formats: tuple[str, ...], options: BuildOptions) -> None:
    """Check the request before the ONNX file is exported, which takes a minute.

    Raises:
        UsageError: No format takes an option, or a format cannot build for a requested GPU.
        MissingDependency: A GPU or a package is missing.
    """
    from .engine import check_buildable

    check_options(formats or ("tensorrt",), options)
    for name in formats:
        check_buildable(name, options)


def plan_onnx_path(output: Path | None, formats: tuple[str, ...]) -> Path | None:
    """Return the path of the ONNX file, or None for the default.

    `output` may have the suffix of any of the formats. For a format that is a folder, `output` is
    that folder. Raises UsageError for another suffix.
    """
    suffixes = {fmt.suffix for fmt in FORMATS.values() if fmt.suffix}
    if any(not FORMATS[name].suffix for name in formats):
        if output is not None and output.suffix in suffixes:
            raise UsageError(f"the output {output} must be a folder, the model repository")
        return None
    if output is None or output.suffix == ".onnx":
        return output
    suffixes = {FORMATS[name].suffix for name in formats} | {".onnx"}
    if output.suffix not in suffixes:
        raise UsageError(f"the output {output} must end in {' or '.join(sorted(suffixes))}")
    return output.with_suffix(".onnx")


def refuse_overwriting_inputs(
    output: Path | None, formats: tuple[str, ...], inputs: Sequence[Path | None], is_onnx_new: bool
) -> None:
    """Check the files that an export will write, before it does anything.

    Args:
        output: Path of the result, or the ONNX file that engines are built from; None for the
            default name.
        formats: Names in FORMATS; empty for ONNX, and a TensorRT engine if possible.
        inputs: Files and folders of images that are read.
        is_onnx_new: Whether the ONNX file is an output.

    Raises:
        UsageError: An output is an input.
    """
    suffixes = {FORMATS[name].suffix for name in formats or ("onnx", "tensorrt")}
    if output is None or "" in suffixes:  # a repository gets a new version
        return
    suffixes = suffixes - {".onnx"} | ({".bin"} if ".xml" in suffixes else set())
    sidecars = {f"{suffix}.json" for suffix in suffixes}
    written = suffixes | sidecars | ({".onnx"} if is_onnx_new else set())
    refuse_overwriting([output.with_name(output.stem + suffix) for suffix in written], inputs)


def build_engines(
    model: Path,
    formats: tuple[str, ...],
    output: Path | None,
    options: BuildOptions,
    log: LogFn,
) -> None:
    """Build an engine of an ONNX file for each format.

    Args:
        model: ONNX file.
        formats: Names in FORMATS; empty for a TensorRT engine if this machine can build one.
        output: Path of the engine or the model repository; None is next to the model.
        options: Build options; each format gets those that it takes.
        log: Receives the lines of the builds.

    Raises:
        CgtError: See `build_engine`.
    """
    from .engine import build_engine, unavailable_reason

    if not formats:
        reason = unavailable_reason("tensorrt")
        if reason:
            log(
                f"no TensorRT engine: {reason}; on the machine that runs it, run: "
                f"cgt export {model.name} --format tensorrt"
            )
            return
        formats = ("tensorrt",)
    folders = tuple(name for name in formats if not FORMATS[name].suffix)
    files = tuple(name for name in formats if FORMATS[name].builder and name not in folders)
    for name in (*files, *folders):  # a model repository takes the engines built before it
        suffix = FORMATS[name].suffix
        base = model if folders or output is None else output
        path = base.with_suffix(suffix) if suffix else output
        build_engine(model, name, path, options.subset(FORMATS[name].options), log=log)
