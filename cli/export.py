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
    plan_onnx_path,
    pop_build_options,
    split_image_options,
)
from cgt.runtime.errors import UsageError
from cgt.runtime.models.metadata import DIRECTIONS, IO_TYPES

from ._options import PATH, Verb, explicit_options, opt, opts, require_extra

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
    type=click.Choice(NORM_MODES),
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
    type=click.Choice(CALIBRATION_METHODS),
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
    check_graph_flags(explicit_options(ctx).keys() & export_options.keys(), model, export_options)
    if ckpt is not None:
        export_options["eval_images"], options = split_image_options(options, formats)
    check_formats(formats, options)
    onnx = plan_onnx_path(output, formats)
    if model is None:
        apply_format_defaults(export_options, formats, click.echo)
        require_extra("train", "torch", "onnx", "onnxscript")
        model, options = export_onnx(ckpt, onnx, options, click.echo, **export_options)
    build_engines(model, formats, output, options, click.echo)
