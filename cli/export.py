"""cgt export"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from cgt.export.formats import BuildOptions
from cgt.export.plan import (
    apply_format_defaults,
    build_engines,
    check_formats,
    plan_onnx_path,
    split_image_options,
)
from cgt.runtime.errors import ModelError, UsageError
from cgt.runtime.models.metadata import DIRECTIONS, IO_TYPES, Direction, read_metadata
from cgt.runtime.models.sidecar import ENGINE_SUFFIXES

from ._engine_options import add_engine_options, pop_build_options
from ._options import explicit_options, require_extra

_PRECISION_FLAGS = ("fp32", "fp16", "bf16", "int8", "mixed")
_NORMS = ("instance", "frozen", "stream")
_CALIBRATION_METHODS = ("percentile", "minmax", "entropy")


@click.command("export")
@click.argument("model", required=False, type=click.Path(path_type=Path))
@click.option("--ckpt", type=click.Path(path_type=Path), help="Trained weights.")
@click.option("--direction", type=click.Choice(DIRECTIONS), help="AtoB where it holds both.")
@click.option("--network", metavar="NAME", help="One of several generators in the file.")
@click.option("--fp32", is_flag=True, help="FP32 throughout; the default of ONNX.")
@click.option("--fp16", is_flag=True, help="FP16, with FP32 norms; with --int8 for what is left.")
@click.option("--fp16-norm", is_flag=True, help="Norms in FP16 too.")
@click.option("--bf16", is_flag=True, help="BF16 convolutions (opset 22).")
@click.option("--int8", is_flag=True, help="INT8 convolutions (Q/DQ), calibrated.")
@click.option("--mixed", is_flag=True, help="INT8 where --min-psnr allows; a table says where.")
@click.option("--calib", metavar="DIR|VIDEO", help="To calibrate on; else the training images.")
@click.option("--calib-frames", default=32, show_default=True, help="How many of them.")
@click.option("--calib-method", type=click.Choice(_CALIBRATION_METHODS), default="percentile")
@click.option("--seed", default=0, help="Of the choice of frames.")
@click.option("--norm", type=click.Choice(_NORMS), default="instance", help="Its statistics.")
@click.option(
    "--io", type=click.Choice(IO_TYPES), help="Tensors in and out; as the format likes it."
)
@click.option("--size", metavar="SIZE", help="256, 256x512 (HxW), 128..1024; any by default.")
@click.option("--batch", metavar="N", help="1 or 1..8, with --size.")
@click.option("--opset", type=int, help="Of ONNX, 18 to 23; the lowest that serves by default.")
@click.option("--min-psnr", type=float, help="Fail below this PSNR in dB against PyTorch.")
@click.option("--drift", is_flag=True, help="Show the drift of every layer; also as a picture.")
@add_engine_options
@click.option("-o", "--output", type=click.Path(path_type=Path), help="NAME.onnx, NAME.engine")
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
    """Turn a generator of a checkpoint into an ONNX model, checked and compared with PyTorch; and
    that, or a MODEL.onnx from before, into engines."""
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
    if model is None:
        apply_format_defaults(export_options, formats, click.echo)
        model, options = _export_onnx(ckpt, onnx, options, **export_options)
    build_engines(model, formats, output, options, click.echo)


def _check_explicit_flags(
    explicit: set[str], model: Path | None, export_options: dict[str, Any]
) -> None:
    """Raises UsageError for flags that would do nothing. given: those about the graph."""
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
    """The ONNX file, and on which pictures engines of it are proved."""
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
    """The fields of `Recipe` that the flags mean."""
    quantized = int8 or mixed
    if fp32 + fp16 + bf16 > 1 or (quantized and bf16):
        raise UsageError("--fp32, --fp16 and --bf16 exclude each other, and --int8 excludes --bf16")
    width = "fp16" if fp16 else "bf16" if bf16 else "fp32"
    if not quantized:
        return {"precision": width}
    return {"precision": "mixed" if mixed else "int8", "remainder": width}
