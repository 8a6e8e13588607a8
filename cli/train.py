"""The verb `cgt train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cgt.runtime.errors import UsageError

from ._options import PATH, Verb, explicit_options, opt, opts, require_extra

_ARCHITECTURE_FIELDS = {
    *("generator", "ngf", "norm", "dropout", "block", "learn_residual", "upsampling"),
}
_RUN = "Essentials"


# The fields of TrainConfig, whose module imports torch; a test compares names and defaults.
@click.command("train", cls=Verb)
@opts(
    _RUN,
    ("--data", PATH, "Folder with trainA/ and trainB/ (and testA/, testB/)."),
)
@opt("-o", "--output", type=PATH, group=_RUN, help="Folder of the new run.")
@opts(
    _RUN,
    ("--resume", PATH, "Continue this run."),
    ("--init-from", PATH, "Checkpoint whose generators to start from."),
    ("--method", str, "cyclegan, or pix2pix (from pairs).  [default: cyclegan]"),
    ("--epochs", int, "Epochs at the full learning rate.  [default: 100]"),
    ("--decay-epochs", int, "Epochs of decay to zero after that.  [default: 100]"),
    ("--batch-size", int, "Images per batch.  [default: 1]"),
)
@opts(
    "Data",
    ("--load-size", int, "Side in pixels that images are resized to.  [default: 286]"),
    ("--crop-size", int, "Side in pixels of the random crop of them.  [default: 256]"),
    ("--preprocess", str, "resize-and-crop (default), crop, scale-width, scale-short or none."),
    ("--flip/--no-flip", bool, "Mirror half of the images.  [default: on]"),
    ("--direction", str, "Direction of pix2pix: AtoB or BtoA.  [default: AtoB]"),
    ("--channels-a", int, "Channels of A; 1 is grayscale.  [default: 3]"),
    ("--channels-b", int, "Channels of B; 1 is grayscale.  [default: 3]"),
    ("--on-corrupt", str, "What to do at an unreadable image: fail or skip.  [default: fail]"),
    ("--workers", int, "Threads that prepare images.  [default: 1]"),
    ("--cache-mb", int, "Decoded images kept in memory, in MB.  [default: 1024]"),
)
@opts(
    "Length and checkpoints",
    ("--steps", int, "Steps at the full learning rate, instead of --epochs.  [default: 0]"),
    ("--decay-steps", int, "Steps of decay, instead of --decay-epochs.  [default: 0]"),
    ("--save-every", int, "Epochs between checkpoints that are kept; 0 keeps none.  [default: 0]"),
    ("--best", str, "Metric of best.pth: frechet, kernel, cycle_psnr, psnr, ssim or l1."),
    ("--eval-every", int, "Epochs between evaluations of that metric.  [default: 5]"),
)
@opts(
    "Generators",
    ("--generator", str, "resnet9, resnet6, unet256, ...  [default: resnet9; pix2pix: unet256]"),
    ("--ngf", int, "Channels of the first layer.  [default: 64]"),
    ("--norm", str, "instance (default), instance_affine, batch (pix2pix) or none."),
    ("--upsampling", str, "transposed, or resize (no checkerboard).  [default: transposed]"),
    ("--block", str, "Residual blocks: plain or separable.  [default: plain]"),
    ("--learn-residual", bool, "Let the generator predict a change to its input."),
    ("--dropout/--no-dropout", bool, "Dropout in the blocks.  [default: off; pix2pix: on]"),
    ("--init", str, "auto, normal, xavier, kaiming or orthogonal.  [default: auto]"),
    ("--init-gain", float, "Gain of the initialization.  [default: 0.02]"),
)
@opts(
    "Discriminators",
    ("--discriminator", str, "patch, pixel or projected (pretrained).  [default: patch]"),
    ("--ndf", int, "Channels of the first layer.  [default: 64]"),
    ("--d-layers", int, "Layers of patch; 3 see 70x70 pixels.  [default: 3]"),
    ("--pool-size", int, "Generated images in the pool; 0 is none.  [default: 50; pix2pix: 0]"),
)
@opts(
    "Losses",
    ("--gan-loss", str, "lsgan, vanilla or hinge.  [default: lsgan; pix2pix: vanilla]"),
    ("--cycle-loss", str, "l1 or l2.  [default: l1]"),
    ("--lambda-cycle", float, "Weight of both cycle losses.  [default: 10]"),
    ("--lambda-a", float, "Weight of A to B to A instead of --lambda-cycle."),
    ("--lambda-b", float, "Weight of B to A to B instead of --lambda-cycle."),
    ("--lambda-identity", float, "Identity loss, times the cycle's.  [default: 0.5; pix2pix: 0]"),
    ("--lambda-l1", float, "Weight of the L1 loss of pix2pix.  [default: 100]"),
)
@opts(
    "Optimizer",
    ("--lr", float, "Learning rate of Adam.  [default: 0.0002]"),
    ("--beta1", float, "beta1 of Adam.  [default: 0.5]"),
    ("--schedule", str, "Decay: linear, cosine, or step (to a tenth).  [default: linear]"),
    ("--step-every", int, "Epochs (with --steps: steps) between steps.  [default: 50]"),
    ("--accumulate", int, "Batches per optimizer step.  [default: 1]"),
    ("--clip-grad", float, "Largest gradient norm of a network; 0 for any.  [default: 0]"),
    ("--ema", float, "Decay of the generators' moving average; 0 for none.  [default: 0]"),
)
@opts(
    "Machine",
    ("--precision", str, "auto, fp32, bf16, or fp16 on a GPU.  [default: auto]"),
    ("--device", str, "auto, cpu, cuda, cuda:1, ...  [default: auto]"),
    ("--threads", int, "CPU threads; 0 leaves it to PyTorch.  [default: 0]"),
    ("--seed", int, "Seed of everything random.  [default: 0]"),
    ("--compile", bool, "Compile the networks with torch.compile."),
    ("--channels-last", bool, "Use the channels-last memory format, for some GPUs."),
    ("--deterministic", bool, "Refuse algorithms whose results vary."),
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
        flag = "--output" if output else "--init-from"
        raise UsageError(f"--resume continues the run as it is; leave out {flag}")
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
        config = TrainConfig.for_method(**explicit)
        run = TrainingRun.create(output, config, init_from, log=click.echo)
    else:
        raise UsageError("give --data DIR --output RUN to start a run, or --resume RUN to continue")
    if run.is_main_process:
        click.echo(run.summarize())
    run.train()
    if run.is_main_process:
        click.echo(f"{run.folder / 'latest.pth'}: done")
