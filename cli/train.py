"""cgt train"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cgt.runtime.errors import UsageError

from ._options import add_options, config_option, explicit_options, require_extra

_ARCHITECTURE_FIELDS = {
    "generator",
    "ngf",
    "norm",
    "dropout",
    "block",
    "learn_residual",
    "upsampling",
}


_CONFIG_OPTIONS = [
    config_option("--method", str, "cyclegan, or pix2pix: from pairs.  [cyclegan]"),
    config_option("--direction", str, "Of pix2pix: AtoB or BtoA.  [AtoB]"),
    config_option("--generator", str, "resnet9, resnet6, unet256, unet128, ...  [resnet9]"),
    config_option("--ngf", int, "Width of the generators.  [64]"),
    config_option("--norm", str, "instance, instance_affine, batch or none.  [instance]"),
    click.option("--dropout/--no-dropout", help="In the generators."),
    config_option("--block", str, "plain, or mobile: depth-wise.  [plain]"),
    click.option("--learn-residual", is_flag=True, help="The answer is a change to the input."),
    config_option("--upsampling", str, "transposed, or resize: no checkerboard.  [transposed]"),
    config_option("--channels-a", int, "1 is grayscale.  [3]"),
    config_option("--channels-b", int, "[3]"),
    config_option("--discriminator", str, "patch, pixel, or projected: pretrained.  [patch]"),
    config_option("--ndf", int, "Width of the discriminators.  [64]"),
    config_option("--d-layers", int, "Of patch; 3 sees 70x70 pixels.  [3]"),
    config_option("--init", str, "auto, normal, xavier, kaiming or orthogonal.  [auto]"),
    config_option("--init-gain", float, "[0.02]"),
    config_option("--gan-loss", str, "lsgan, vanilla or hinge.  [lsgan]"),
    config_option("--cycle-loss", str, "l1 or l2.  [l1]"),
    config_option("--lambda-cycle", float, "[10]"),
    config_option("--lambda-a", float, "For A to B to A.  [--lambda-cycle]"),
    config_option("--lambda-b", float, "For B to A to B.  [--lambda-cycle]"),
    config_option("--lambda-identity", float, "Times the weight of the cycle.  [0.5]"),
    config_option("--lambda-l1", float, "Of pix2pix.  [100]"),
    config_option("--pool-size", int, "Images; 0 for none.  [50, pix2pix 0]"),
    config_option("--epochs", int, "At the full learning rate.  [100]"),
    config_option("--decay-epochs", int, "Of decay after that.  [100]"),
    config_option("--steps", int, "Instead of --epochs."),
    config_option("--decay-steps", int, "Instead of --decay-epochs."),
    config_option("--schedule", str, "linear, cosine, or step: a tenth after every ...  [linear]"),
    config_option("--step-every", int, "... so many epochs (steps, with --steps).  [50]"),
    config_option("--batch-size", int, "[1]"),
    config_option("--accumulate", int, "Batches per optimisation step.  [1]"),
    config_option("--lr", float, "[2e-4]"),
    config_option("--beta1", float, "Of Adam.  [0.5]"),
    config_option("--clip-grad", float, "Largest norm of a network's gradient; 0 for any.  [0]"),
    config_option("--ema", float, "Moving average of the generators, such as 0.999.  [0]"),
    config_option("--preprocess", str, "resize-and-crop, crop, scale-width, scale-short or none."),
    config_option("--load-size", int, "Images are resized to this,  [286]"),
    config_option("--crop-size", int, "then cropped to this.  [256]"),
    click.option("--flip/--no-flip", help="Mirror half of the images.  [flip]"),
    config_option("--on-corrupt", str, "What an unreadable file does: fail or skip.  [fail]"),
    config_option("--workers", int, "Threads that prepare images.  [1]"),
    config_option("--cache-mb", int, "Of decoded images in memory.  [1024]"),
    config_option("--precision", str, "auto, fp32, bf16, or fp16 on a GPU.  [auto]"),
    click.option("--channels-last", is_flag=True, help="Memory layout, for some GPUs."),
    click.option("--compile", is_flag=True, help="Compile the networks (torch.compile)."),
    click.option("--deterministic", is_flag=True, help="No algorithm whose result varies."),
    config_option("--seed", int, "[0]"),
    config_option("--threads", int, "CPU threads of PyTorch; its own choice by default."),
    config_option("--device", str, "auto, cpu, cuda, cuda:1, ...  [auto]"),
    config_option("--save-every", int, "Epochs between checkpoints that stay; 0 for none.  [0]"),
    config_option("--best", str, "Choose best.pth by frechet, kernel, cycle_psnr, psnr, ssim, l1."),
    config_option("--eval-every", int, "Epochs between measurements of it.  [5]"),
]


@click.command("train")
@click.option("--data", type=click.Path(path_type=Path), help="Folder with trainA/ and trainB/.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder of the new run.")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with a run.")
@click.option(
    "--init-from", type=click.Path(path_type=Path), help="Begin with a checkpoint's generators."
)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    data: Path | None,
    output: Path | None,
    resume: Path | None,
    init_from: Path | None,
    **settings: Any,
) -> None:
    """Train a CycleGAN or pix2pix: --data DIR --output RUN, or --resume RUN.

    RUN gets latest.pth (everything, resumable), metrics.csv (`cgt plot RUN`) and samples/*.png.
    """
    explicit = {name: value for name, value in explicit_options(ctx).items() if name in settings}
    if data is not None:
        explicit["data"] = str(data.resolve())
    if resume is not None and (output or init_from):
        raise UsageError(
            f"--resume goes on with the run as it is; leave out {'--output' if output else '--init-from'}"
        )
    if init_from is not None and (conflicts := _ARCHITECTURE_FIELDS & set(explicit)):
        raise UsageError(
            f"--init-from brings the architecture; leave out --{min(conflicts).replace('_', '-')}"
        )
    require_extra("train", "torch")
    from cgt.trainer.config import TrainConfig
    from cgt.trainer.train import TrainingRun

    if resume is not None:
        run = TrainingRun.resume(resume, explicit, log=click.echo)
    elif data is not None and output is not None:
        run = TrainingRun.create(
            output, TrainConfig.for_method(**explicit), init_from, log=click.echo
        )
    else:
        raise UsageError("give --data DIR --output RUN to start a run, or --resume RUN to go on")
    if run.is_main_process:
        click.echo(run.summarize())
    run.train()
    if run.is_main_process:
        click.echo(f"{run.folder / 'latest.pth'}: done")


command = add_options(command, _CONFIG_OPTIONS)
