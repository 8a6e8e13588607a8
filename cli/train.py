"""The verb `cgt train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cgt.runtime.errors import UsageError
from cgt.runtime.models.checkpoint_options import CheckpointOptions

from ._options import (
    PATH,
    Verb,
    explicit_options,
    opt,
    options_from,
    opts,
    pop_checkpoint_options,
    require_extra,
)

_ARCHITECTURE_FIELDS = {
    *("generator", "ngf", "norm", "dropout", "block", "learn_residual", "upsampling"),
}
_RUN = "Essentials"


# The fields of TrainConfig, whose module imports torch; a test compares names and defaults.
@click.command("train", cls=Verb)
@opts(
    _RUN,
    ("--data", PATH, "Dataset: a folder with trainA/ and trainB/, optionally testA/ and testB/."),
)
@opt("-o", "--output", type=PATH, group=_RUN, help="Folder of the new run.")
@opts(
    _RUN,
    ("--resume", PATH, "Folder of a run to continue."),
    ("--init-from", PATH, "Checkpoint whose generators to start from."),
    ("--method", str, "cyclegan, or pix2pix (needs pairs).  [default: cyclegan]"),
    ("--epochs", int, "Epochs at the full learning rate.  [default: 100]"),
    ("--decay-epochs", int, "Epochs after that, in which the rate decays to 0.  [default: 100]"),
    ("--batch-size", int, "Images per batch.  [default: 1]"),
)
@opts(
    "Data",
    ("--load-size", int, "Side in pixels to which images are resized.  [default: 286]"),
    ("--crop-size", int, "Side in pixels of the random crops.  [default: 256]"),
    ("--preprocess", str, "Mode: resize-and-crop (default), crop, scale-width, scale-short, none."),
    ("--flip/--no-flip", bool, "Mirror half of the images.  [default: on]"),
    ("--direction", str, "Direction of pix2pix: AtoB or BtoA.  [default: AtoB]"),
    ("--channels-a", int, "Channels of domain A; 1 is grayscale.  [default: 3]"),
    ("--channels-b", int, "Channels of domain B; 1 is grayscale.  [default: 3]"),
    ("--on-corrupt", str, "What to do with unreadable images: fail or skip.  [default: fail]"),
    ("--workers", int, "Threads that prepare images; by default one for every 4 of a step."),
    ("--cache-mb", int, "Maximum size of decoded images in memory, in MB.  [default: 1024]"),
)
@opts(
    "Length and checkpoints",
    ("--steps", int, "Steps at the full learning rate, instead of --epochs.  [default: 0]"),
    ("--decay-steps", int, "Steps of decay, instead of --decay-epochs.  [default: 0]"),
    ("--save-every", int, "Epochs between copies epoch_N.pth; 0 for none.  [default: 0]"),
    (
        "--best",
        str,
        "Save best.pth by frechet, kernel, cycle_psnr, psnr, ssim or l1.  [default: none]",
    ),
    ("--eval-every", int, "Epochs between evaluations of --best.  [default: 5]"),
)
@opts(
    "Generators",
    (
        "--generator",
        str,
        "resnetN (N blocks), unet256 or unet128, ...  [default: resnet9; pix2pix: unet256]",
    ),
    ("--ngf", int, "Channels of the generators' first layer.  [default: 64]"),
    ("--norm", str, "Norm layers: instance (default), instance_affine, batch (pix2pix) or none."),
    ("--upsampling", str, "transposed, or resize (avoids checkerboards).  [default: transposed]"),
    ("--block", str, "Convolutions of the blocks: plain or separable.  [default: plain]"),
    ("--learn-residual", bool, "Let the generator predict a change to its input."),
    ("--dropout/--no-dropout", bool, "Dropout in the generators.  [default: off; pix2pix: on]"),
    ("--init", str, "Weights: auto, normal, xavier, kaiming or orthogonal.  [default: auto]"),
    ("--init-gain", float, "Scale of the initial weights.  [default: 0.02]"),
)
@opts(
    "Discriminators",
    ("--discriminator", str, "patch, pixel or projected (pretrained).  [default: patch]"),
    ("--ndf", int, "Channels of the discriminators' first layer.  [default: 64]"),
    ("--d-layers", int, "Layers of patch; with 3 it sees 70x70 pixels.  [default: 3]"),
    (
        "--pool-size",
        int,
        "Size of the pool of generated images; 0 for none.  [default: 50; pix2pix: 0]",
    ),
)
@opts(
    "Losses",
    ("--gan-loss", str, "lsgan, vanilla or hinge.  [default: lsgan; pix2pix: vanilla]"),
    ("--cycle-loss", str, "l1 or l2.  [default: l1]"),
    ("--lambda-cycle", float, "Weight of both cycle losses.  [default: 10]"),
    ("--lambda-a", float, "Weight of the cycle A to B to A, instead of --lambda-cycle."),
    ("--lambda-b", float, "Weight of the cycle B to A to B, instead of --lambda-cycle."),
    (
        "--lambda-identity",
        float,
        "Weight of the identity loss, relative to the cycle.  [default: 0.5; pix2pix: 0]",
    ),
    ("--lambda-l1", float, "Weight of the L1 loss of pix2pix.  [default: 100]"),
)
@opts(
    "Optimizer",
    ("--lr", float, "Learning rate of Adam.  [default: 0.0002]"),
    ("--beta1", float, "beta1 of Adam.  [default: 0.5]"),
    ("--schedule", str, "Decay: linear, cosine, or step (a tenth per step).  [default: linear]"),
    ("--step-every", int, "Epochs between the drops of step; with --steps, steps.  [default: 50]"),
    ("--accumulate", int, "Batches per optimizer step.  [default: 1]"),
    ("--clip-grad", float, "Maximum gradient norm of a network; 0 for no limit.  [default: 0]"),
    ("--ema", float, "Decay of the generators' moving average; 0 for none.  [default: 0]"),
)
@opts(
    "Machine",
    ("--precision", str, "auto, fp32, bf16; on a GPU also tf32, fp16.  [default: auto]"),
    ("--device", str, "auto, cpu, cuda, cuda:1, ...  [default: auto]"),
    ("--threads", int, "CPU threads; 0 for PyTorch's default.  [default: 0]"),
    ("--seed", int, "Seed of all random numbers.  [default: 0]"),
    ("--compile", bool, "Compile the networks with torch.compile."),
    ("--channels-last", bool, "Use the channels-last memory format, for some GPUs."),
    ("--deterministic", bool, "Use deterministic algorithms only."),
)
@options_from(CheckpointOptions)
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
    """Train a CycleGAN or pix2pix model: --data DIR --output RUN, or --resume RUN.

    The folder RUN gets latest.pth (to resume or export), metrics.csv (`cgt plot RUN`) and
    samples/*.png.
    """
    checkpoint_options = pop_checkpoint_options(settings, init_from, "--init-from")
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
        run = TrainingRun.create(
            output, config, init_from, log=click.echo, init_options=checkpoint_options
        )
    else:
        raise UsageError("give --data DIR --output RUN to start a run, or --resume RUN to continue")
    if run.is_main_process:
        click.echo(run.summarize())
    run.train()
    if run.is_main_process:
        click.echo(f"{run.folder / 'latest.pth'}: done")
