"""cgt train"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cgt.runtime.errors import UsageError

from .extras import need
from .settings import given_in, setting, with_settings

_ARCHITECTURE = {"generator", "ngf", "norm", "dropout", "block", "learn_residual", "upsampling"}


_SETTINGS = [
    setting("--method", str, "cyclegan, or pix2pix: from pairs.  [cyclegan]"),
    setting("--direction", str, "Of pix2pix: AtoB or BtoA.  [AtoB]"),
    setting("--generator", str, "resnet9, resnet6, unet256, unet128, ...  [resnet9]"),
    setting("--ngf", int, "Width of the generators.  [64]"),
    setting("--norm", str, "instance, instance_affine, batch or none.  [instance]"),
    click.option("--dropout/--no-dropout", help="In the generators."),
    setting("--block", str, "plain, or mobile: depth-wise.  [plain]"),
    click.option("--learn-residual", is_flag=True, help="The answer is a change to the input."),
    setting("--upsampling", str, "transposed, or resize: no checkerboard.  [transposed]"),
    setting("--channels-a", int, "1 is grayscale.  [3]"),
    setting("--channels-b", int, "[3]"),
    setting("--discriminator", str, "patch, pixel, or projected: pretrained.  [patch]"),
    setting("--ndf", int, "Width of the discriminators.  [64]"),
    setting("--d-layers", int, "Of patch; 3 sees 70x70 pixels.  [3]"),
    setting("--init", str, "auto, normal, xavier, kaiming or orthogonal.  [auto]"),
    setting("--init-gain", float, "[0.02]"),
    setting("--gan-loss", str, "lsgan, vanilla or hinge.  [lsgan]"),
    setting("--cycle-loss", str, "l1 or l2.  [l1]"),
    setting("--lambda-cycle", float, "[10]"),
    setting("--lambda-a", float, "For A to B to A.  [--lambda-cycle]"),
    setting("--lambda-b", float, "For B to A to B.  [--lambda-cycle]"),
    setting("--lambda-identity", float, "Times the weight of the cycle.  [0.5]"),
    setting("--lambda-l1", float, "Of pix2pix.  [100]"),
    setting("--pool-size", int, "Images; 0 for none.  [50, pix2pix 0]"),
    setting("--epochs", int, "At the full learning rate.  [100]"),
    setting("--decay-epochs", int, "Of decay after that.  [100]"),
    setting("--steps", int, "Instead of --epochs."),
    setting("--decay-steps", int, "Instead of --decay-epochs."),
    setting("--schedule", str, "linear, cosine, or step: a tenth after every ...  [linear]"),
    setting("--step-every", int, "... so many epochs (steps, with --steps).  [50]"),
    setting("--batch-size", int, "[1]"),
    setting("--accumulate", int, "Batches per optimisation step.  [1]"),
    setting("--lr", float, "[2e-4]"),
    setting("--beta1", float, "Of Adam.  [0.5]"),
    setting("--clip-grad", float, "Largest norm of a network's gradient; 0 for any.  [0]"),
    setting("--ema", float, "Moving average of the generators, such as 0.999.  [0]"),
    setting("--preprocess", str, "resize-and-crop, crop, scale-width, scale-short or none."),
    setting("--load-size", int, "Images are resized to this,  [286]"),
    setting("--crop-size", int, "then cropped to this.  [256]"),
    click.option("--flip/--no-flip", help="Mirror half of the images.  [flip]"),
    setting("--broken", str, "What an unreadable file does: fail or skip.  [fail]"),
    setting("--workers", int, "Threads that prepare images.  [1]"),
    setting("--cache-mb", int, "Of decoded images in memory.  [1024]"),
    setting("--precision", str, "auto, fp32, bf16, or fp16 on a GPU.  [auto]"),
    click.option("--channels-last", is_flag=True, help="Memory layout, for some GPUs."),
    click.option("--compile", is_flag=True, help="Compile the networks (torch.compile)."),
    click.option("--deterministic", is_flag=True, help="No algorithm whose result varies."),
    setting("--seed", int, "[0]"),
    setting("--threads", int, "CPU threads of PyTorch; its own choice by default."),
    setting("--device", str, "auto, cpu, cuda, cuda:1, ...  [auto]"),
    setting("--save-every", int, "Epochs between checkpoints that stay; 0 for none.  [0]"),
    setting("--best", str, "Choose best.pth by frechet, kernel, cycle_psnr, psnr, ssim, l1."),
    setting("--eval-every", int, "Epochs between measurements of it.  [5]"),
]


@click.command("train")
@click.option("--data", type=click.Path(path_type=Path), help="Folder with trainA/ and trainB/.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the new run.")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with a run.")
@click.option(
    "--init-from", type=click.Path(path_type=Path), help="Begin with a checkpoint's generators."
)
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
    """Train a CycleGAN or pix2pix: --data DIR --out RUN, or --resume RUN.

    RUN gets latest.pth (everything, resumable), metrics.csv (`cgt plot RUN`) and samples/*.png.
    """
    given = {name: value for name, value in given_in(ctx).items() if name in settings}
    if data is not None:
        given["data"] = str(data.resolve())
    if resume is not None and (out or init_from):
        raise UsageError(
            f"--resume goes on with the run as it is; leave out {'--out' if out else '--init-from'}"
        )
    if init_from is not None and (own := _ARCHITECTURE & set(given)):
        raise UsageError(
            f"--init-from brings the architecture; leave out --{min(own).replace('_', '-')}"
        )
    need("train", "torch")
    from cgt.trainer.train import Run
    from cgt.trainer.trainconfig import TrainConfig

    if resume is not None:
        run = Run.resume(resume, given, say=click.echo)
    elif data is not None and out is not None:
        run = Run.create(out, TrainConfig.of(**given), init_from, say=click.echo)
    else:
        raise UsageError("give --data DIR --out RUN to start a run, or --resume RUN to go on")
    if run.leads:
        click.echo(run.describe())
    run.train()
    if run.leads:
        click.echo(f"{run.folder / 'latest.pth'}: done")


command = with_settings(command, _SETTINGS)
