"""Planning of `cgt export`: defaults of the formats, early checks, output paths, engine builds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cgt.runtime.errors import ModelError, UsageError
from cgt.runtime.image.files import list_images
from cgt.runtime.inference.translator import resolve_model
from cgt.runtime.models.checkpoint_options import NO_OPTIONS, CheckpointOptions
from cgt.runtime.models.metadata import Direction, read_metadata
from cgt.runtime.models.sidecar import ENGINE_SUFFIXES
from cgt.runtime.utils.options import flag_of
from cgt.runtime.utils.overwrite import refuse_overwriting

from .builders.base import LogFn
from .formats import FORMATS, BuildOptions, check_graph_supported, check_options

_PRECISION_FLAGS = ("fp32", "fp16", "bf16", "int8", "mixed")


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
    if fmt.fp32_norm and export_options["fp16"] and not export_options["fp16_norm"]:
        export_options["fp32_norm"] = True
        defaults.append("--fp32-norm")
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

    check_options(formats or ("onnx",), options)
    for name in formats:
        check_buildable(name, options)


def locate_model(
    model: Path, output: Path | None, formats: tuple[str, ...]
) -> tuple[Path, Path | None]:
    """Return the ONNX file of a path or of a bundled name, and the output.

    Engines of a bundled model are written to the working directory and not beside it, into the
    installed package.

    Raises:
        UsageError: The formats include a folder, which takes engines from beside the model.
    """
    path = resolve_model(model)
    if path == model or output is not None:
        return path, output
    folders = [name for name in formats if not FORMATS[name].suffix]
    if not folders:
        return path, Path(path.name)
    raise UsageError(f"--format {folders[0]} of the bundled model {model} needs -o FOLDER")


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
        formats: Names in FORMATS; empty for ONNX.
        inputs: Files and folders of images that are read.
        is_onnx_new: Whether the ONNX file is an output.

    Raises:
        UsageError: An output is an input.
    """
    suffixes = {FORMATS[name].suffix for name in formats or ("onnx",)}
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
        formats: Names in FORMATS; empty for none.
        output: Path of the engine or the model repository; None is next to the model.
        options: Build options; each format gets those that it takes.
        log: Receives the lines of the builds.

    Raises:
        CgtError: See `build_engine`.
    """
    from .engine import build_engine

    if not formats:
        log(
            "for a TensorRT engine, on the machine that runs it: "
            f"cgt export {model.name} --format tensorrt"
        )
    folders = tuple(name for name in formats if not FORMATS[name].suffix)
    files = tuple(name for name in formats if FORMATS[name].builder and name not in folders)
    for name in (*files, *folders):  # a model repository takes the engines built before it
        suffix = FORMATS[name].suffix
        base = model if folders or output is None else output
        path = base.with_suffix(suffix) if suffix else output
        build_engine(model, name, path, options.subset(FORMATS[name].options), log=log)


def check_graph_flags(
    explicit: set[str], model: Path | None, export_options: dict[str, Any]
) -> None:
    """Raise UsageError for flags about the graph that would have no effect."""
    if model is not None:
        if model.suffix in ENGINE_SUFFIXES:
            raise UsageError(f"{model} is an engine already; give the ONNX file behind it")
        try:
            read_metadata(model)
        except ModelError:
            if model.suffix == ".onnx" or not model.is_file():
                raise
            raise UsageError(
                f"{model} is no ONNX model; if it is weights: --ckpt {model}"
            ) from None
        if explicit:
            raise UsageError(
                f"{flag_of(min(explicit))} goes with --ckpt; {model} is a graph already"
            )
    idle = explicit & {"calib_frames", "calib_method", "seed"}
    if idle and not (
        export_options["int8"] or export_options["mixed"] or export_options["norm"] == "frozen"
    ):
        raise UsageError(f"{flag_of(min(idle))} goes with --int8, --mixed or --norm frozen")


def export_onnx(
    ckpt: Path | None,
    output: Path | None,
    options: BuildOptions,
    log: LogFn,
    direction: Direction | None,
    network: str | None,
    checkpoint_options: CheckpointOptions = NO_OPTIONS,
    **export_options: Any,
) -> tuple[Path, BuildOptions]:
    """Export a checkpoint to ONNX.

    Args:
        ckpt: Checkpoint of any trainer; with `code` None for random weights.
        output: Path of the ONNX file; None for one beside the checkpoint.
        options: Build options of the engines that are made of it.
        log: Receives a line per step.
        direction: Direction of the generator; None for the only one, else "AtoB".
        network: Name of the generator, where the file has several.
        checkpoint_options: What the user states about a checkpoint of another trainer.
        **export_options: Precision flags and fields of ExportConfig.

    Returns:
        The path, and the build options with the images to compare engines on.
    """
    export_options |= _precision_fields(
        **{name: export_options.pop(name) for name in _PRECISION_FLAGS}
    )
    from cgt.trainer.pretrained import open_generator

    from .exporter import export, log_generator

    source = open_generator(ckpt, direction, network, checkpoint_options)
    log_generator(source, log)
    path, metadata = export(source, output, log=log, **export_options)
    log(
        f"{path}: {metadata.source_domain} to {metadata.target_domain}, {metadata.precision}, "
        f"{metadata.parameters / 1e6:.3f} M parameters, {path.stat().st_size / 1e6:.2f} MB"
    )
    images = source.test_folder
    if options.eval_images is None and images is not None and images.is_dir():
        options = dataclasses.replace(options, eval_images=images if list_images(images) else None)
    return path, options


def _precision_fields(
    fp32: bool, fp16: bool, bf16: bool, int8: bool, mixed: bool
) -> dict[str, str]:
    """Return the fields of ExportConfig that the precision flags stand for."""
    quantized = int8 or mixed
    if fp32 + fp16 + bf16 > 1 or (quantized and bf16):
        raise UsageError("--fp32, --fp16 and --bf16 exclude each other, and --int8 excludes --bf16")
    width = "fp16" if fp16 else "bf16" if bf16 else "fp32"
    if not quantized:
        return {"precision": width}
    return {"precision": "mixed" if mixed else "int8", "remainder": width}
