"""cgt export"""

from __future__ import annotations

from pathlib import Path

import click

from cgt.runtime.artifact import DIRECTIONS, Direction
from cgt.runtime.errors import UsageError

from .extras import need


@click.command("export")
@click.option("--ckpt", required=True, type=click.Path(path_type=Path), help="Trained weights.")
@click.option("--direction", type=click.Choice(DIRECTIONS), help="AtoB where it holds both.")
@click.option("--network", metavar="NAME", help="One of several generators in the file.")
@click.option("--fp32", is_flag=True, help="FP32 throughout (the default).")
@click.option("--fp16", is_flag=True, help="FP16 convolutions, FP32 normalisation.")
@click.option("--min-psnr", type=float, help="Fail below this PSNR in dB against PyTorch.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="NAME.onnx")
def command(
    ckpt: Path,
    direction: Direction | None,
    network: str | None,
    fp32: bool,
    fp16: bool,
    min_psnr: float | None,
    output: Path | None,
) -> None:
    """Turn a generator of a checkpoint into an ONNX model, checked and compared with PyTorch."""
    if fp32 and fp16:
        raise UsageError("--fp32 and --fp16 exclude each other")
    need("train", "torch", "onnx", "onnxscript")
    from cgt.export import export

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
