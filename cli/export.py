"""The verb `cgt export`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from cgt.export.formats import FORMATS, TRITON_BACKENDS, BuildOptions
from cgt.export.plan import (
    apply_format_defaults,
    build_engines,
    check_formats,
    plan_onnx_path,
    pop_build_options,
    refuse_overwriting_inputs,
    split_image_options,
)
from cgt.runtime.errors import ModelError, UsageError
from cgt.runtime.models.metadata import DIRECTIONS, IO_TYPES, Direction, read_metadata
from cgt.runtime.models.sidecar import ENGINE_SUFFIXES
from cgt.runtime.utils.overwrite import refuse_overwriting

from ._options import PATH, Verb, explicit_options, opt, opts, require_extra

_PRECISION_FLAGS = ("fp32", "fp16", "bf16", "int8", "mixed")
_NORMS = ("instance", "frozen", "stream")
_CALIBRATION_METHODS = ("percentile", "minmax", "entropy")


_FORMAT, _GRAPH, _INT8, _ENGINE = "Essentials", "Graph", "INT8 calibration", "Engines"


def _parse_capabilities(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part.replace(".", "")) for part in text.split(",")) if text else ()
    except ValueError:
        raise click.BadParameter(f"{text} is not like 86 or 75,86,89,120") from None


@click.command("export", cls=Verb)
@click.argument("model", required=False, type=PATH)
@opts(_FORMAT, ("--ckpt", PATH, "Checkpoint of any trainer."))
@opt("-o", "--output", type=PATH, group=_FORMAT, help="NAME.onnx, NAME.engine, ... or a folder.")
@opts(
    _FORMAT,
    ("--fp32", bool, "FP32 throughout; the default of ONNX."),
    ("--fp16", bool, "FP16 with FP32 norms; with --int8, for the layers that are not INT8."),
    ("--bf16", bool, "BF16 convolutions (opset 22)."),
    ("--int8", bool, "INT8 convolutions (Q/DQ), calibrated on --calib."),
    ("--mixed", bool, "INT8 where --min-psnr allows it."),
    ("--size", str, "Sizes it takes: 256, WIDTHxHEIGHT, 128..1024.  [default: any]"),
    ("--batch", str, "Batches it takes, with --size: 1 or 1..8.  [default: 1]"),
)
@opt(
    "--format",
    "formats",
    type=click.Choice(list(FORMATS)),
    multiple=True,
    group=_FORMAT,
    help="Format; repeat it for several.  [default: onnx, and tensorrt where it can be built]",
)
@opts(
    _GRAPH,
    ("--direction", click.Choice(DIRECTIONS), "Direction of the generator.  [default: AtoB]"),
    ("--network", str, "Name of the generator, where the file has several."),
)
@opt(
    "--norm",
    type=click.Choice(_NORMS),
    default="instance",
    group=_GRAPH,
    help="Statistics of the norms: of each frame, frozen, or as tensors.  [default: instance]",
)
@opts(
    _GRAPH,
    ("--io", click.Choice(IO_TYPES), "Type of input and output.  [default: the format's fastest]"),
    ("--fp16-norm", bool, "Compute the norms in FP16, too."),
    ("--opset", int, "ONNX opset, 18 to 23.  [default: the lowest that serves]"),
)
@opts("Verification", ("--eval-images", PATH, "Images to compare on.  [default: test images]"))
@opts(
    "Verification",
    ("--min-psnr", float, "Lowest PSNR in dB against PyTorch; below it nothing is written."),
    ("--drift", bool, "Print and draw the drift of every layer."),
)
@opts(_INT8, ("--calib", str, "Folder or video to calibrate on.  [default: training images]"))
@opt("--calib-frames", default=32, group=_INT8, help="Frames to calibrate on.  [default: 32]")
@opt(
    "--calib-method",
    type=click.Choice(_CALIBRATION_METHODS),
    default="percentile",
    group=_INT8,
    help="How ranges are chosen.  [default: percentile]",
)
@opt("--seed", default=0, group=_INT8, help="Seed of the choice of frames.  [default: 0]")
@opt(
    "--compute-capability",
    "compute_capabilities",
    callback=_parse_capabilities,
    metavar="75,86,...",
    group=_ENGINE,
    help="GPUs of a TensorRT-RTX engine.  [default: this machine's]",
)
@opts(
    _ENGINE,
    ("--workspace", click.IntRange(1), "Scratch memory of a TensorRT engine, in MiB."),
    ("--timing-cache", PATH, "File that remembers kernel timings, for quicker builds."),
    ("--dla", click.IntRange(0), "DLA core of a Jetson to use."),
    ("--hardware-compatible", bool, "An engine for every GPU from Ampere on."),
    ("--version-compatible", bool, "An engine for later TensorRT of the same major version."),
)
@opt(
    "--backend",
    "backends",
    type=click.Choice(TRITON_BACKENDS),
    multiple=True,
    group=_ENGINE,
    help="Backend of a Triton repository; repeat it for several.  [default: all that fit]",
)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    model: Path | None,
    ckpt: Path | None,
    formats: tuple[str, ...],
    output: Path | None,
    **export_options: Any,
) -> None:
    """Export a generator of a checkpoint to ONNX, and that or MODEL.onnx to engines.

    Every export is compared with PyTorch on images.
    """
    if (model is None) == (ckpt is None):
        raise UsageError("give either --ckpt FILE or a MODEL.onnx")
    options = pop_build_options(export_options)
    _check_explicit_flags(
        explicit_options(ctx).keys() & export_options.keys(), model, export_options
    )
    if ckpt is not None:
        export_options["eval_images"], options = split_image_options(options, formats)
    check_formats(formats, options)
    onnx = plan_onnx_path(output, formats)
    calib = Path(export_options["calib"]) if export_options["calib"] else None
    inputs = (model, ckpt, calib, options.eval_images or export_options.get("eval_images"))
    refuse_overwriting([options.timing_cache], inputs)
    refuse_overwriting_inputs(
        output or model, formats, (*inputs, options.timing_cache), is_onnx_new=model is None
    )
    if model is None:
        apply_format_defaults(export_options, formats, click.echo)
        model, options = _export_onnx(ckpt, onnx, options, **export_options)
    build_engines(model, formats, output, options, click.echo)


def _check_explicit_flags(
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
                f"{_flag_name(min(explicit))} goes with --ckpt; {model} is a graph already"
            )
    idle = explicit & {"calib_frames", "calib_method", "seed"}
    if idle and not (
        export_options["int8"] or export_options["mixed"] or export_options["norm"] == "frozen"
    ):
        raise UsageError(f"{_flag_name(min(idle))} goes with --int8, --mixed or --norm frozen")


def _flag_name(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _export_onnx(
    ckpt: Path | None,
    output: Path | None,
    options: BuildOptions,
    direction: Direction | None,
    network: str | None,
    **export_options: Any,
) -> tuple[Path, BuildOptions]:
    """Write the ONNX file; return its path, and options with the images to compare engines on."""
    export_options |= _precision_fields(
        **{name: export_options.pop(name) for name in _PRECISION_FLAGS}
    )
    require_extra("train", "torch", "onnx", "onnxscript")
    from cgt.export import export
    from cgt.runtime.image.files import list_images
    from cgt.trainer.pretrained import open_generator

    assert ckpt is not None
    source = open_generator(ckpt, direction, network)
    click.echo(f"generator: {source.summary}; loaded strictly")
    path, artifact = export(source, output, log=click.echo, **export_options)
    click.echo(
        f"{path}: {artifact.source_domain} to {artifact.target_domain}, {artifact.precision}, "
        f"{artifact.parameters / 1e6:.3f} M parameters, {path.stat().st_size / 1e6:.2f} MB"
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
