"""The verb `cgt export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cgt.export.config import CALIBRATION_METHODS, NORM_MODES
from cgt.export.formats import FORMATS, TRITON_BACKENDS
from cgt.export.plan import (
    apply_format_defaults,
    build_engines,
    check_formats,
    check_graph_flags,
    export_onnx,
    locate_model,
    plan_onnx_path,
    pop_build_options,
    refuse_overwriting_inputs,
    split_image_options,
)
from cgt.runtime.errors import UsageError
from cgt.runtime.models.checkpoint_options import CheckpointOptions
from cgt.runtime.models.metadata import DIRECTIONS, IO_TYPES, UPSAMPLING_METHODS
from cgt.runtime.utils.overwrite import refuse_overwriting

from ._options import (
    PATH,
    Verb,
    explicit_options,
    given_options,
    opt,
    options_from,
    opts,
    require_extra,
)

_FORMAT, _GRAPH, _INT8, _ENGINE = "Essentials", "Graph", "INT8 calibration", "Engines"


def _parse_capabilities(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part.replace(".", "")) for part in text.split(",")) if text else ()
    except ValueError:
        raise click.BadParameter(f"{text} is not like 86 or 75,86,89,120") from None


@click.command("export", cls=Verb)
@click.argument("model", required=False, type=PATH)
@opts(_FORMAT, ("--ckpt", PATH, "Checkpoint of cgt or of another trainer."))
@opt(
    "-o",
    "--output",
    type=PATH,
    group=_FORMAT,
    help="File to write, NAME.onnx, NAME.engine, ...; a folder for triton.",
)
@opts(
    _FORMAT,
    ("--fp32", bool, "FP32 everywhere; the default for ONNX."),
    ("--fp16", bool, "FP16 with FP32 norms; with --int8, for all layers that are not INT8."),
    ("--bf16", bool, "BF16 convolutions (opset 22)."),
    ("--int8", bool, "INT8 convolutions (Q/DQ), calibrated on --calib."),
    ("--mixed", bool, "INT8 for as many convolutions as --min-psnr allows."),
    ("--size", str, "Sizes of the input: 256, WIDTHxHEIGHT, 128..1024.  [default: any]"),
    ("--batch", str, "Batch sizes, with --size: 1 or 1..8.  [default: 1; without --size: any]"),
)
@opt(
    "--format",
    "formats",
    type=click.Choice(list(FORMATS)),
    multiple=True,
    group=_FORMAT,
    help="Format to write; repeat it for several.  [default: onnx]",
)
@opts(
    _GRAPH,
    (
        "--direction",
        click.Choice(DIRECTIONS),
        "Direction of the generator.  [default: AtoB, or the only one in the file]",
    ),
    ("--network", str, "Name of the generator, if the file has several."),
)
@opt(
    "--norm",
    type=click.Choice(NORM_MODES),
    default="instance",
    group=_GRAPH,
    help="Statistics of the norms: of each frame, fixed, or as tensors.  [default: instance]",
)
@opts(
    _GRAPH,
    ("--io", click.Choice(IO_TYPES), "Type of input and output.  [default: the format's]"),
    (
        "--upsampling",
        click.Choice(UPSAMPLING_METHODS),
        "Default of `cgt translate --upsampling` for this model: detail for painters.",
    ),
    ("--fp16-norm", bool, "With --fp16, compute the sums of norms in FP16 too."),
    ("--fp32-norm", bool, "With --fp16, compute the norms in FP32 alone."),
    ("--opset", int, "ONNX opset, 11 to 23.  [default: 18, or what the precision needs]"),
)
@opts(
    "Verification",
    (
        "--eval-images",
        PATH,
        "Folder of images for the comparison.  [default: held-out --calib, test images]",
    ),
)
@opts(
    "Verification",
    ("--min-psnr", float, "Minimum PSNR in dB against PyTorch; below it, fail and write no file."),
    ("--drift", bool, "Print and plot the difference from FP32 of every layer."),
)
@opts(_INT8, ("--calib", str, "Folder or video to calibrate on.  [default: training images]"))
@opt("--calib-frames", default=32, group=_INT8, help="Number of calibration images.  [default: 32]")
@opt(
    "--calib-method",
    type=click.Choice(CALIBRATION_METHODS),
    default="percentile",
    group=_INT8,
    help="Method that chooses the INT8 ranges.  [default: percentile]",
)
@opt("--seed", default=0, group=_INT8, help="Seed of the choice of images.  [default: 0]")
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
    ("--timing-cache", PATH, "File that stores kernel timings for faster builds."),
    ("--hardware-compatible", bool, "Build an engine for all GPUs from Ampere on."),
    (
        "--version-compatible",
        bool,
        "Build an engine for later TensorRT versions with the same major number.",
    ),
)
@opt(
    "--backend",
    "backends",
    type=click.Choice(TRITON_BACKENDS),
    multiple=True,
    group=_ENGINE,
    help="Backend of a Triton repository; repeat it for several.  [default: all that fit]",
)
@options_from(CheckpointOptions)
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
    """Export a checkpoint (--ckpt) to ONNX and to engines, or MODEL.onnx to engines.

    MODEL may be the bundled monet or vintage. Every ONNX file of a checkpoint is compared with
    PyTorch on images. --code without --ckpt exports random weights.
    """
    checkpoint_options = CheckpointOptions(**given_options(CheckpointOptions, export_options))
    code = checkpoint_options.model_code
    if checkpoint_options.given and model is not None:
        raise UsageError(
            f"{checkpoint_options.first_flag} goes with --ckpt; {model} is a graph already"
        )
    if checkpoint_options.given and ckpt is None and code is None:
        raise UsageError(f"{checkpoint_options.first_flag} goes with --ckpt")
    if (model is None) == (ckpt is None and code is None):
        raise UsageError("give either --ckpt FILE or a MODEL.onnx")
    if model is not None:
        model, output = locate_model(model, output, formats)
    options = pop_build_options(export_options)
    check_graph_flags(explicit_options(ctx).keys() & export_options.keys(), model, export_options)
    if model is None:
        export_options["eval_images"], options = split_image_options(options, formats)
    check_formats(formats, options)
    onnx = plan_onnx_path(output, formats)
    calib = Path(export_options["calib"]) if export_options["calib"] else None
    inputs = (
        model,
        ckpt,
        code.file if code else None,
        calib,
        options.eval_images or export_options.get("eval_images"),
    )
    refuse_overwriting([options.timing_cache], inputs)
    refuse_overwriting_inputs(
        output or model, formats, (*inputs, options.timing_cache), is_onnx_new=model is None
    )
    if model is None:
        apply_format_defaults(export_options, formats, click.echo)
        require_extra("train", "torch", "onnx", "onnxscript")
        model, options = export_onnx(
            ckpt,
            onnx,
            options,
            click.echo,
            checkpoint_options=checkpoint_options,
            **export_options,
        )
    build_engines(model, formats, output, options, click.echo)
