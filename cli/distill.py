"""cgt distill"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cgt.runtime.errors import UsageError
from cgt.runtime.models.metadata import DIRECTIONS

from ._options import add_options, config_option, explicit_options, require_extra

_PATH_TYPE = click.Path(path_type=Path)


_CONFIG_OPTIONS = [
    config_option("--steps", int, "Of the whole run.  [30000]"),
    config_option(
        "--int8-steps", int, "Last, with INT8's rounding.  [with --precision int8 a tenth]"
    ),
    config_option("--batch-size", int, "[8]"),
    config_option("--lr", float, "[1e-3]"),
    config_option("--ema", float, "Moving average of the student.  [0.999]"),
    config_option(
        "--crops-per-image", int, "Of each photo that the teacher answers; 0: ever new ones.  [2]"
    ),
    config_option("--lambda-ssim", float, "1 - SSIM to the teacher, beside L1.  [0.5]"),
    config_option("--lambda-temporal", float, "A moved frame has the moved answer.  [0.5]"),
    config_option("--lambda-feature", float, "Features of the teacher's own encoder.  [0]"),
    config_option("--lambda-gan", float, "A discriminator of teacher and student.  [0]"),
    config_option(
        "--lambda-perceptual", float, "Features of EfficientNet-Lite0 ([projected]).  [0]"
    ),
    config_option("--lambda-tv", float, "Total variation.  [0]"),
    config_option("--ndf", int, "Width of the discriminator.  [64]"),
    config_option("--on-corrupt", str, "What an unreadable photo does: fail or skip.  [fail]"),
    config_option("--workers", int, "Threads that prepare photos, and ask the teacher.  [1]"),
    config_option("--cache-mb", int, "Of decoded photos in memory.  [1024]"),
    config_option("--seed", int, "[0]"),
    config_option("--threads", int, "CPU threads of PyTorch; its own choice by default."),
    config_option("--device", str, "auto, cpu, cuda, ...  [auto]"),
]


@click.command("distill")
@click.option("--ckpt", type=_PATH_TYPE, help="The teacher: weights of any trainer.")
@click.option("--direction", type=click.Choice(DIRECTIONS), help="Where it holds both.")
@click.option("--network", metavar="NAME", help="One of several generators in the file.")
@click.option(
    "--data", type=_PATH_TYPE, multiple=True, help="Photos, or trainA/ trainB/ with some."
)
@click.option("-o", "--output", type=_PATH_TYPE, help="The student: NAME.pth; its run is in NAME/.")
@click.option(
    "--resume", type=_PATH_TYPE, metavar="NAME.pth", help="Go on with an --output, or its folder."
)
@click.option("--target-fps", type=click.FloatRange(0, min_open=True), help="End to end.  [30]")
@click.option("--size", type=int, help="Of its squares, and to measure at.  [256]")
@click.option("--precision", default="int8", show_default=True, help="fp32, fp16, bf16, int8 ...")
@click.option("--engine", default="auto", show_default=True, help="To be quick on.")
@click.option("--latency-table", type=_PATH_TYPE, help="Of the machine it is for (cgt bench).")
@click.option(
    "--list-candidates", "listing", is_flag=True, help="Show what there is to choose, and stop."
)
@click.option("--student", metavar="NGFxBLOCKS,...", help="This one; see the manual.")
@click.option("--init-from", type=_PATH_TYPE, help="A student, or any network, to begin as.")
@click.option(
    "--teacher-cache", type=_PATH_TYPE, help="Folder of the teacher's answers.  [NAME/targets]"
)
@click.option("--video", type=_PATH_TYPE, multiple=True, help="To measure on; not learned from.")
@click.option(
    "--target-images", type=_PATH_TYPE, help="Images of what it translates to, to measure with."
)
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Train a small student of a teacher that is fast enough here: --ckpt FILE --data DIR -o FILE.

    The largest student that reaches --target-fps from source to sink is taken, one that is pruned
    from the teacher, and begins as it, before any that begins anew; what it is worth is
    measured at the end and kept in the file. Exit code 4 where it is too slow after all.
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
