"""cgt train"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from cgt.runtime.errors import UsageError

from .extras import need

_ARCHITECTURE = ("generator", "ngf", "norm", "learn_residual", "upsampling")


@click.command("train")
@click.option("--data", type=click.Path(path_type=Path), help="Folder with trainA/ and trainB/.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the new run.")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with a run.")
@click.option(
    "--init-from", type=click.Path(path_type=Path), help="Begin with a checkpoint's generators."
)
@click.option("--generator", default="resnet9", show_default=True, help="resnet6, unet256, ...")
@click.option("--ngf", default=64, show_default=True, help="Width of the generators.")
@click.option("--ndf", default=64, show_default=True, help="Width of the discriminators.")
@click.option("--norm", default="instance", help="Of the generators: instance or none.")
@click.option(
    "--learn-residual", is_flag=True, help="Generators answer with a change to the input."
)
@click.option("--upsampling", default="transposed", help="transposed, or resize: no checkerboard.")
@click.option("--discriminator", default="patch", help="patch (70x70), or projected: pretrained.")
@click.option("--lambda-cycle", default=10.0, show_default=True)
@click.option("--lambda-identity", default=0.5, show_default=True, help="Times --lambda-cycle.")
@click.option("--pool-size", default=50, show_default=True)
@click.option("--epochs", default=100, show_default=True, help="At the full learning rate.")
@click.option("--decay-epochs", default=100, show_default=True, help="Of linear decay after that.")
@click.option("--batch-size", default=1, show_default=True)
@click.option("--lr", default=2e-4, show_default=True)
@click.option("--load-size", default=286, show_default=True, help="Images are resized to this,")
@click.option("--crop-size", default=256, show_default=True, help="then cropped to this.")
@click.option("--ema", default=0.0, help="Moving average of the generators, such as 0.999.")
@click.option("--precision", default="auto", show_default=True, help="auto, fp32 or bf16.")
@click.option("--seed", default=0, show_default=True)
@click.option("--threads", default=0, help="CPU threads of PyTorch; its own choice by default.")
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    data: Path | None,
    out: Path | None,
    resume: Path | None,
    init_from: Path | None,
    **settings: Any,
) -> None:
    """Train a CycleGAN: --data DIR --out RUN, or --resume RUN.

    RUN gets latest.pth (everything, resumable), losses.csv and samples/*.png.
    """
    if resume is not None:
        _leave_out(
            ctx,
            (*settings, "data", "out", "init_from"),
            "--resume goes on with the run's own settings",
        )
    if init_from is not None:
        _leave_out(ctx, _ARCHITECTURE, "--init-from brings the architecture")
    need("train", "torch")
    from cgt.trainer.config import TrainConfig
    from cgt.trainer.train import Run

    if resume is not None:
        run = Run.resume(resume)
    elif data is not None and out is not None:
        run = Run.create(out, TrainConfig(data=str(data.resolve()), **settings), init_from)
    else:
        raise UsageError("give --data DIR --out RUN to start a run, or --resume RUN to go on")
    click.echo(run.describe())
    run.train()
    click.echo(f"{run.folder / 'latest.pth'}: done")


def _leave_out(ctx: click.Context, names: Iterable[str], because: str) -> None:
    """Raises UsageError where one of these was given."""
    for name in names:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise UsageError(f"{because}; leave out --{name.replace('_', '-')}")
