"""The verb `cgt distill`."""

from __future__ import annotations

from typing import Any

import click

from cgt.distill.config import teacher_settings
from cgt.runtime.errors import UsageError
from cgt.runtime.models.checkpoint_options import CheckpointOptions
from cgt.runtime.models.metadata import DIRECTIONS

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

_RUN = "Essentials"


@click.command("distill", cls=Verb)
@opts(_RUN, ("--ckpt", PATH, "The teacher: a checkpoint of cgt or of another trainer."))
@opt(
    "--data",
    type=PATH,
    multiple=True,
    group=_RUN,
    help="Folder of photos, or dataset with trainA/ and trainB/. Repeat it for several.",
)
@opt(
    "-o",
    "--output",
    type=PATH,
    group=_RUN,
    help="The student to write, NAME.pth; the run is in NAME/.",
)
@opts(
    _RUN,
    (
        "--target-fps",
        click.FloatRange(0, min_open=True),
        "Frames/s to reach, from decoding to encoding.  [default: 30]",
    ),
    ("--size", int, "Side in pixels of the images in training and measuring.  [default: 256]"),
)
@opt(
    "--precision",
    default="int8",
    group=_RUN,
    help="Precision of the student: fp32, fp16, bf16, int8, ...  [default: int8]",
)
@opts(_RUN, ("--resume", PATH, "NAME.pth or NAME/ of a run to continue."))
@opts(
    "Teacher",
    ("--direction", click.Choice(DIRECTIONS), "Direction, if the teacher has both."),
    ("--network", str, "Name of the generator, if the file has several."),
    ("--teacher-cache", PATH, "Folder of the teacher's outputs.  [default: NAME/targets]"),
    (
        "--crops-per-image",
        int,
        "Crops of each photo, translated once; 0: always new crops.  [default: 2]",
    ),
)
@opt("--engine", default="auto", group="Student", help="Engine to measure on.  [default: auto]")
@opt(
    "--list-candidates",
    "listing",
    is_flag=True,
    group="Student",
    help="Print the measured students and stop.",
)
@opts(
    "Student",
    (
        "--student",
        str,
        "Train this one: 32x6 (ngf x blocks), pruned:20x9, 32x6,batch_film,separable.",
    ),
    ("--init-from", PATH, "Checkpoint to start from, such as another student."),
    ("--latency-table", PATH, "Latencies of another machine, from cgt bench students --json."),
)
@opt(
    "--video",
    type=PATH,
    multiple=True,
    group="Evaluation",
    help="Video to evaluate on; not used in training. Repeat it for several.",
)
@opts(
    "Evaluation",
    ("--target-images", PATH, "Images of the target domain, to measure the distance to."),
)
@opts(
    "Training",
    ("--steps", int, "Steps of the whole run.  [default: 30000]"),
    ("--int8-steps", int, "Last steps, which simulate INT8.  [default: a tenth with int8]"),
    ("--batch-size", int, "Images per batch.  [default: 8]"),
    ("--lr", float, "Learning rate of Adam.  [default: 0.001]"),
    ("--ema", float, "Decay of the student's moving average.  [default: 0.999]"),
    ("--on-corrupt", str, "What to do with unreadable photos: fail or skip.  [default: fail]"),
    ("--seed", int, "Seed of all random numbers.  [default: 0]"),
)
@opts(
    "Losses",
    ("--lambda-ssim", float, "Weight of 1 - SSIM to the teacher; L1 has 1.  [default: 0.5]"),
    ("--lambda-temporal", float, "Weight of consistency under motion.  [default: 0.5]"),
    (
        "--lambda-feature",
        float,
        "Weight of the loss on the teacher's encoder features.  [default: 0]",
    ),
    ("--lambda-gan", float, "Weight of a discriminator, student against teacher.  [default: 0]"),
    (
        "--lambda-perceptual",
        float,
        "Weight of EfficientNet features, extra [projected].  [default: 0]",
    ),
    ("--lambda-tv", float, "Weight of total variation.  [default: 0]"),
    ("--ndf", int, "Channels of the discriminator's first layer.  [default: 64]"),
)
@opts(
    "Machine",
    ("--workers", int, "Threads that prepare photos and run the teacher.  [default: 1]"),
    ("--cache-mb", int, "Maximum size of decoded photos in memory, in MB.  [default: 1024]"),
    ("--threads", int, "CPU threads; 0 for PyTorch's default.  [default: 0]"),
    ("--device", str, "auto, cpu, cuda, ...  [default: auto]"),
)
@options_from(CheckpointOptions)
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Train a small, fast student of a teacher: --ckpt TEACHER --data DIR -o STUDENT.pth.

    The command measures students on this machine and trains the largest one that reaches
    --target-fps. It prefers a student pruned from the teacher to one that starts from scratch. At
    the end it measures quality and speed, and stores them in the file. The exit code is 4 if the
    student is too slow.
    """
    checkpoint_options = pop_checkpoint_options(options, options["ckpt"] or options["resume"])
    options["checkpoint_options"] = checkpoint_options
    explicit = {name: v for name, v in explicit_options(ctx).items() if name in options}
    explicit |= teacher_settings(checkpoint_options)
    require_extra("train", "torch")
    from cgt.distill.run import resume_distillation, run_distillation, show_candidates

    if options["listing"]:
        show_candidates(options)
    elif options["resume"] is not None:
        resume_distillation(explicit)
    elif options["ckpt"] is None or not options["data"] or options["output"] is None:
        raise UsageError("give --ckpt TEACHER --data DIR -o STUDENT.pth, or --resume STUDENT.pth")
    else:
        run_distillation(explicit, options)
