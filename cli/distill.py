"""Command `cgt distill`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cgt.runtime.errors import UsageError
from cgt.runtime.models.metadata import DIRECTIONS

from ._options import add_options, config_option, explicit_options, require_extra

_PATH_TYPE = click.Path(path_type=Path)


_CONFIG_OPTIONS = [
    config_option("--steps", int, "Training steps.  [30000]"),
    config_option(
        "--int8-steps",
        int,
        "Final steps with simulated INT8 rounding.  [--steps / 10 for int8, else 0]",
    ),
    config_option("--batch-size", int, "Photos per step.  [8]"),
    config_option("--lr", float, "Initial learning rate.  [1e-3]"),
    config_option("--ema", float, "Decay of the moving average of weights.  [0.999]"),
    config_option(
        "--crops-per-image",
        int,
        "Crops per photo with cached teacher outputs; 0: new ones every step.  [2]",
    ),
    config_option("--lambda-ssim", float, "Weight of 1 - SSIM to the teacher; L1 has 1.  [0.5]"),
    config_option("--lambda-temporal", float, "Weight of consistency under motion.  [0.5]"),
    config_option("--lambda-feature", float, "Weight of the teacher's encoder features.  [0]"),
    config_option("--lambda-gan", float, "Weight of the adversarial loss.  [0]"),
    config_option(
        "--lambda-perceptual",
        float,
        "Weight of EfficientNet-Lite0 features; needs [projected].  [0]",
    ),
    config_option("--lambda-tv", float, "Weight of the total variation.  [0]"),
    config_option("--ndf", int, "Width of the discriminator.  [64]"),
    config_option("--on-corrupt", str, "Action for an unreadable photo: fail or skip.  [fail]"),
    config_option("--workers", int, "Threads that prepare photos and run the teacher.  [1]"),
    config_option("--cache-mb", int, "Memory for decoded photos, in MiB.  [1024]"),
    config_option("--seed", int, "Seed of the random numbers.  [0]"),
    config_option("--threads", int, "CPU threads of PyTorch.  [PyTorch's default]"),
    config_option("--device", str, "PyTorch device: auto, cpu, cuda, ...  [auto]"),
]


@click.command("distill")
@click.option("--ckpt", type=_PATH_TYPE, help="Checkpoint of the teacher, from any trainer.")
@click.option(
    "--direction",
    type=click.Choice(DIRECTIONS),
    help="Direction to distill, if the teacher has both.",
)
@click.option("--network", metavar="NAME", help="Generator to distill, if the file has several.")
@click.option(
    "--data",
    type=_PATH_TYPE,
    multiple=True,
    help="Folder of photos, or data set with trainA/ or trainB/; repeatable.",
)
@click.option(
    "-o", "--output", type=_PATH_TYPE, help="Student to write, NAME.pth; its run folder is NAME/."
)
@click.option(
    "--resume",
    type=_PATH_TYPE,
    metavar="NAME.pth",
    help="Resume the run of this student, or this run folder.",
)
@click.option(
    "--target-fps",
    type=click.FloatRange(0, min_open=True),
    help="Frames/s to reach end to end.  [30]",
)
@click.option(
    "--size",
    type=int,
    help="Side of the training crops, and of the benchmark's frames, in pixels.  [256]",
)
@click.option(
    "--precision",
    default="int8",
    show_default=True,
    help="Precision of the exported student: fp32, fp16, bf16, int8, ...",
)
@click.option(
    "--engine", default="auto", show_default=True, help="Engine that the student must be fast on."
)
@click.option(
    "--latency-table",
    type=_PATH_TYPE,
    help="Latency table of another machine, from `cgt bench --candidates --json`.",
)
@click.option(
    "--list-candidates", "listing", is_flag=True, help="Print the table of candidates and exit."
)
@click.option(
    "--student",
    metavar="[pruned:]NGFxBLOCKS,...",
    help="Architecture, such as pruned:20x9 or 32x6.",
)
@click.option("--init-from", type=_PATH_TYPE, help="Student or other network to start from.")
@click.option(
    "--teacher-cache", type=_PATH_TYPE, help="Folder of cached teacher outputs.  [NAME/targets]"
)
@click.option(
    "--video",
    type=_PATH_TYPE,
    multiple=True,
    help="Video for the final evaluation, not for training; repeatable.",
)
@click.option(
    "--target-images",
    type=_PATH_TYPE,
    help="Images of the target domain, for the Frechet distance.",
)
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Train a small student of a teacher that is fast enough here: --ckpt FILE --data DIR -o FILE.

    Selects the largest student that reaches --target-fps end to end. Students pruned from the
    teacher are preferred to students trained from scratch. The finished student is evaluated and
    the results are stored in its file. The exit code is 4 if it is slower than the target.
    """
    explicit = explicit_options(ctx)
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


command = add_options(command, _CONFIG_OPTIONS)
