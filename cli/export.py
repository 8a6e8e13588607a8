"""cgt export"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cgt.runtime.artifact import DIRECTIONS, Direction
from cgt.runtime.errors import UsageError

from .extras import need
from .formats import build_options, check_formats, engine_options, make_engines, onnx_name


@click.command("export")
@click.argument("model", required=False, type=click.Path(path_type=Path))
@click.option("--ckpt", type=click.Path(path_type=Path), help="Trained weights.")
@click.option("--direction", type=click.Choice(DIRECTIONS), help="AtoB where it holds both.")
@click.option("--network", metavar="NAME", help="One of several generators in the file.")
@click.option("--fp32", is_flag=True, help="FP32 throughout (the default).")
@click.option("--fp16", is_flag=True, help="FP16 convolutions, FP32 normalisation.")
@click.option("--min-psnr", type=float, help="Fail below this PSNR in dB against PyTorch.")
@engine_options
@click.option("-o", "--output", type=click.Path(path_type=Path), help="NAME.onnx, NAME.engine")
def command(
    model: Path | None,
    ckpt: Path | None,
    formats: tuple[str, ...],
    output: Path | None,
    **wishes: Any,
) -> None:
    """Turn a generator of a checkpoint into an ONNX model, checked and compared with PyTorch; and
    that, or a MODEL.onnx from before, into engines."""
    if (model is None) == (ckpt is None):
        raise UsageError("give either --ckpt FILE or a MODEL.onnx")
    options = build_options(wishes)
    check_formats(formats, options)
    onnx = onnx_name(output, formats)
    if model is None:
        model = _export(ckpt, onnx, **wishes)
    make_engines(model, formats, output, options)


def _export(
    ckpt: Path | None,
    output: Path | None,
    direction: Direction | None,
    network: str | None,
    fp32: bool,
    fp16: bool,
    min_psnr: float | None,
) -> Path:
    if fp32 and fp16:
        raise UsageError("--fp32 and --fp16 exclude each other")
    need("train", "torch", "onnx", "onnxscript")
    from cgt.export import export

    assert ckpt is not None
    path, artifact = export(
        ckpt,
        output,
        direction=direction,
        network=network,
        precision="fp16" if fp16 else "fp32",
        min_psnr=min_psnr,
        say=click.echo,
    )
    click.echo(
        f"{path}: {artifact.source} to {artifact.target}, {artifact.precision}, "
        f"{artifact.parameters / 1e6:.3f} M parameters, {path.stat().st_size / 1e6:.2f} MB"
    )
    return path
